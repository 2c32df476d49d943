// Tokens as a Hugging Face `tokenizer.json` has them, by their own library, which is loaded when there is one.
import { DataError } from '../errors.ts';
import type { Vocabulary } from './vocabulary.ts';

interface TokenizerFile {
  readonly model?: { readonly vocab?: unknown };
  readonly added_tokens?: readonly { readonly id?: unknown }[];
}

/** @throws DataError if it is none, or of a kind that the library does not know */
export async function tokenizerVocabulary(json: unknown, source: string): Promise<Vocabulary> {
  const file = json as TokenizerFile | null;
  const vocab = file?.model?.vocab;
  if (typeof vocab !== 'object' || vocab === null) {
    throw new DataError(`${source} is no tokenizer.json of Hugging Face: it has no model with a vocab`);
  }
  const { Tokenizer } = await import('@huggingface/tokenizers');
  let tokenizer: InstanceType<typeof Tokenizer>;
  try {
    tokenizer = new Tokenizer(file!, {});
  } catch (error) {
    throw new DataError(`${source} is a tokenizer.json that cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const size = 1 + [...tokenizer.get_vocab(true).values()].reduce((most, id) => Math.max(most, Number(id)), 0);
  return {
    kind: 'file',
    size,
    encode(text) {
      const { ids, tokens } = tokenizer.encode(text, { add_special_tokens: false });
      const lacking = ids.findIndex((id) => !Number.isInteger(id));
      if (lacking >= 0) throw new DataError(`${source} has no token for ${JSON.stringify(tokens[lacking])}`);
      return [...ids];
    },
    decode: (tokens) =>
      tokenizer.decode([...tokens], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
    inPieces: true,
    toJSON: () => ({ kind: 'file', tokenizer: json }),
  };
}

/** @throws DataError if the text is not JSON, or no tokenizer */
export async function tokenizerFromText(text: string, source: string): Promise<Vocabulary> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new DataError(`${source} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  return tokenizerVocabulary(json, source);
}
