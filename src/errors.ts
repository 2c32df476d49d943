// The typed errors of Glia: each says what happened, where, and what to do about it, in one line.

/** The base of every error that Glia throws on purpose. */
export class GliaError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** An op was given shapes or types that do not fit; the message names the op, the shapes and the module path. */
export class ShapeError extends GliaError {}

/** An option or argument has a value that it cannot have. */
export class OptionError extends GliaError {}

/** A data file is missing, truncated, of the wrong kind, or does not fit the others. */
export class DataError extends GliaError {}

/** A weights file or checkpoint is damaged, foreign, or was made for another model. */
export class CheckpointError extends GliaError {}

/** This browser or runtime offers no WebGPU adapter, or the adapter lacks what was asked for. */
export class UnsupportedError extends GliaError {}

/** WGSL that the driver refused, with its messages. */
export class ShaderError extends GliaError {}

/** The device ran out of memory, or allows no tensor of that size. */
export class OutOfMemoryError extends GliaError {}

/** The device reported a validation or internal error: a bug in Glia, or in the app that shares the device. */
export class DeviceError extends GliaError {}

/** The device is gone: the GPU process crashed, the driver was reset, or someone destroyed it. */
export class DeviceLostError extends GliaError {}

/** A loss or gradient became NaN or infinite; the message names the first op that made it. */
export class NotFiniteError extends GliaError {}
