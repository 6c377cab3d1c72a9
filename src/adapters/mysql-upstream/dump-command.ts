/** The commands of the replication protocol, as packets ready to be written. */
import type { GtidSet } from '../binlog/stream/gtid-set.ts';

const command = { dump: 0x12, registerReplica: 0x15, dumpGtid: 0x1e } as const;
const throughGtid = 0x04;

/** COM_REGISTER_SLAVE: makes the replica visible in SHOW REPLICAS. */
export function registerCommand(serverId: number): Buffer {
  const name = Buffer.from('sluice', 'latin1');
  const body = Buffer.alloc(1 + 4 + 1 + name.length + 1 + 1 + 2 + 4 + 4);
  let at = body.writeUInt8(command.registerReplica, 0);
  at = body.writeUInt32LE(serverId, at);
  at = body.writeUInt8(name.length, at);
  at += name.copy(body, at);
  // Empty user and password, port 0, rank 0, source id 0: the server only shows them.
  return frame(body);
}

/** COM_BINLOG_DUMP of MariaDB: the position is in `@slave_connect_state`, so file and offset stay empty. */
export function dumpCommand(serverId: number): Buffer {
  const body = Buffer.alloc(11);
  let at = body.writeUInt8(command.dump, 0);
  at = body.writeUInt32LE(4, at);
  at = body.writeUInt16LE(0, at);
  body.writeUInt32LE(serverId, at);
  return frame(body);
}

/** COM_BINLOG_DUMP_GTID of MySQL: everything not in `executed`. */
export function dumpGtidCommand(serverId: number, executed: GtidSet): Buffer {
  const set = executed.encode();
  const head = Buffer.alloc(1 + 2 + 4 + 4 + 8 + 4);
  let at = head.writeUInt8(command.dumpGtid, 0);
  at = head.writeUInt16LE(throughGtid, at);
  at = head.writeUInt32LE(serverId, at);
  at = head.writeUInt32LE(0, at);
  at = head.writeBigUInt64LE(4n, at);
  head.writeUInt32LE(set.byteLength, at);
  return frame(Buffer.concat([head, set]));
}

function frame(body: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(body.byteLength, 0, 3);
  return Buffer.concat([header, body]);
}
