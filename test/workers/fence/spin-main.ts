/** A process that lets its deadline pass while main spins for ever: only the watchdog can end it. */
import { leaseDeadline } from '#workers/lease-deadline.ts';
import { FenceStage } from './system.ts';

const stage = await FenceStage.start({ isLeased: true });
const { system } = stage;
const now = process.hrtime.bigint();
leaseDeadline(system.gate, system.gatesBelow('house'), () => {}).publish(now + 100_000_000n, now);
const giveUpAt = now + 20_000_000_000n;
while (process.hrtime.bigint() < giveUpAt);
