/** First byte of a value in a batch. Below `smallEnd` it is the value itself. */
export const tag = {
  smallEnd: 0xc0,
  null: 0xc0,
  undefined: 0xc1,
  false: 0xc2,
  true: 0xc3,
  /** Four bytes, little end first, as all numbers here. */
  uint32: 0xc4,
  float64: 0xc5,
  /** Length in one byte, ASCII. */
  shortText: 0xc6,
  /** Length in bytes, UTF-8. */
  text: 0xc7,
  /** Length in bytes, msgpackr. */
  packed: 0xc8,
  /** The short text that stood last in the place of the next byte (`placeOfText`), since the batch began or its last restart. */
  sameText: 0xc9,
} as const;

/** Places of short texts that both sides remember within a batch; a place is one byte. */
export const textPlaceCount = 256;

/** Where a short text is remembered: names of one kind differ at their end. It may not be empty. */
export function placeOfText(text: string): number {
  const { length } = text;
  const last = text.charCodeAt(length - 1);
  return (
    (last * 31 +
      text.charCodeAt(length >> 1) * 7 +
      (length > 1 ? text.charCodeAt(length - 2) : 0) * 13 +
      length) &
    (textPlaceCount - 1)
  );
}
