/** A process that exits while a thread writes to a real event store. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FenceStage } from './system.ts';

const stage = await FenceStage.start();
stage.spawn(['append', 'work-2']);
await stage.until(() => stage.note('submits') > 0);
await sleep(Number(process.argv[2]));
process.exit(7);
