// Text that several shaders share: a line `// include NAME` in a shader stands for shaders/include/NAME.wgsl.
import { ShaderError } from '../errors.ts';

const LINE = /^([ \t]*)\/\/ include (\w+)$/gm;

/**
 * A shader with texts in place of the lines that name them; texts may include others.
 *
 * @param texts by name
 * @throws ShaderError for a text that is not among these
 */
export function include(source: string, texts: Readonly<Record<string, string>>): string {
  return source.replace(LINE, (_, indent: string, name: string) => {
    const text = texts[name];
    if (text === undefined) throw new ShaderError(`the shader includes ${name}, and is not given it`);
    return include(text.trimEnd(), texts).replace(/^(?=.)/gm, indent);
  });
}
