// What the build defines.

/**
 * Whether ops keep what only tests of them read: references and samples. False in the published package, from which these fall
 * away; a user's own op keeps its own.
 */
declare const CHECKS: boolean;

/** Where a command's server has what its pages import, bundled. */
declare const PAGES: string;
