/** Codes of binary log events, of both families (MariaDB's own begin at 160). */
export const eventType = {
  startV3: 1,
  query: 2,
  stop: 3,
  rotate: 4,
  intvar: 5,
  appendBlock: 9,
  deleteFile: 11,
  rand: 13,
  userVar: 14,
  formatDescription: 15,
  xid: 16,
  beginLoadQuery: 17,
  executeLoadQuery: 18,
  tableMap: 19,
  writeRowsV0: 20,
  updateRowsV0: 21,
  deleteRowsV0: 22,
  writeRowsV1: 23,
  updateRowsV1: 24,
  deleteRowsV1: 25,
  incident: 26,
  heartbeat: 27,
  ignorable: 28,
  rowsQuery: 29,
  writeRows: 30,
  updateRows: 31,
  deleteRows: 32,
  gtid: 33,
  anonymousGtid: 34,
  previousGtids: 35,
  transactionContext: 36,
  viewChange: 37,
  xaPrepare: 38,
  partialUpdateRows: 39,
  transactionPayload: 40,
  heartbeatV2: 41,
  gtidTagged: 42,
  annotateRows: 160,
  binlogCheckpoint: 161,
  mariadbGtid: 162,
  mariadbGtidList: 163,
  startEncryption: 164,
  queryCompressed: 165,
  writeRowsCompressedV1: 166,
  updateRowsCompressedV1: 167,
  deleteRowsCompressedV1: 168,
  writeRowsCompressed: 169,
  updateRowsCompressed: 170,
  deleteRowsCompressed: 171,
} as const;

/** Event flag: a reader that does not know the event may skip it. */
export const ignorableFlag = 0x80;
/** Event flag: made up for this reader, not in the log file. */
export const artificialFlag = 0x20;

/** True for events that carry rows and that the row decoder reads. */
export function isRowsEvent(type: number): boolean {
  return (
    (type >= eventType.writeRowsV1 && type <= eventType.deleteRowsV1) ||
    (type >= eventType.writeRows && type <= eventType.deleteRows) ||
    type === eventType.partialUpdateRows ||
    (type >= eventType.writeRowsCompressedV1 && type <= eventType.deleteRowsCompressed)
  );
}
