/** The version of this program: what `mdv --version` prints and what segments, parts and receipts say made them. */

/** As in package.json; a test compares them, so that no start has to read that file. */
export const version = '0.1.0'

export const software = `mdv ${version}`
