// TypeScript's library declares WebGPU's interfaces, and not yet its namespaces of flags.
declare const GPUBufferUsage: Readonly<Record<'COPY_DST' | 'COPY_SRC' | 'MAP_READ' | 'STORAGE', number>>;
declare const GPUMapMode: Readonly<Record<'READ', number>>;
