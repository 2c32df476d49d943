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
export { type Archive, type ArchiveHeader, decodeArchive, type StoredBlock } from './container.ts';
export { AnsStack } from './rans.ts';
