// The typed errors of Glia: each says what happened, where, and what to do about it, in one line.

/** The base of every error that Glia throws on purpose. Each class writes its `name` out: an app's bundler renames classes. */
export class GliaError extends Error {
  override name = 'GliaError';
}

/** An op was given shapes or types that do not fit; the message names the op, the shapes and the module path. */
export class ShapeError extends GliaError {
  override name = 'ShapeError';
}

/** An option or argument has a value that it cannot have. */
export class OptionError extends GliaError {
  override name = 'OptionError';
}

/** A data file is missing, truncated, of the wrong kind, or does not fit the others. */
export class DataError extends GliaError {
  override name = 'DataError';
}

/** A weights file or checkpoint is damaged, foreign, or was made for another model. */
export class CheckpointError extends GliaError {
  override name = 'CheckpointError';
}

/** This browser or runtime offers no WebGPU adapter, or the adapter lacks what was asked for. */
export class UnsupportedError extends GliaError {
  override name = 'UnsupportedError';
}

/** WGSL that the driver refused, with its messages. */
export class ShaderError extends GliaError {
  override name = 'ShaderError';
}

/** The device ran out of memory, or allows no tensor of that size. */
export class OutOfMemoryError extends GliaError {
  override name = 'OutOfMemoryError';
}

/** The device reported a validation or internal error: a bug in Glia, or in the app that shares the device. */
export class DeviceError extends GliaError {
  override name = 'DeviceError';
}

/** The device is gone: the GPU process crashed, the driver was reset, or someone destroyed it. */
export class DeviceLostError extends GliaError {
  override name = 'DeviceLostError';
}

/** A loss or gradient became NaN or infinite; the message names the first op that made it. */
export class NotFiniteError extends GliaError {
  override name = 'NotFiniteError';
}
