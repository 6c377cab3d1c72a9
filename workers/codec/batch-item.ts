/** First byte of an item of a batch. An envelope's byte is `envelope` with the flags of what is left out. */
export const item = {
  /** An address: path, thread, incarnation, node; takes the next number, from 0. */
  ref: 1,
  /** Kind and field names; takes the next number, from 1. */
  shape: 2,
  /** Definitions and what was said before are forgotten. */
  restart: 3,
  envelope: 0x80,
  sameTo: 0x01,
  sameFrom: 0x02,
  sameEpoch: 0x04,
  nextSeq: 0x08,
  /** Ends with the number of its moved byte arrays. */
  moved: 0x10,
} as const;
