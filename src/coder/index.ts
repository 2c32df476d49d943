// The public API of compression: what `import { … } from 'glia/compress'` gives.
export {
  type Compressed,
  type CompressOptions,
  compressImages,
  type Decompressed,
  type DecompressOptions,
  decompressImages,
  type Recovered,
} from './archive.ts';
export { type Archive, type ArchiveHeader, decodeArchive, type StoredBlock, type TextHeader } from './container.ts';
export { AnsStack } from './rans.ts';
export {
  type CompressedText,
  compressText,
  type DecompressedText,
  type DecompressTextOptions,
  decompressText,
} from './text_archive.ts';
