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
} as const;
