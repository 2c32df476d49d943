// glia/testing: checks an op of one's own as Glia's are checked.
export { CheckError, type CheckOptions, type CheckReport, checkOp, samplesOf } from './check_op.ts';
