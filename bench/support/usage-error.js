// @ts-check

/** Wrong arguments of the command line. */
export class UsageError extends Error {}
