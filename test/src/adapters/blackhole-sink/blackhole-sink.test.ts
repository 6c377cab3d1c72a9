import {
  type BlackholeSlots,
  openBlackholeSink,
} from '#src/adapters/blackhole-sink/blackhole-sink.ts';
import { testSinkConformance } from '../sink-conformance.ts';

testSinkConformance('The blackhole', () => {
  const slots: BlackholeSlots = new Map();
  return Promise.resolve({
    open: () => openBlackholeSink({ log: () => undefined, slots }),
    stop: () => Promise.resolve(),
  });
});
