/** One simulated thread: a real shell over a host of virtual time. It can be paused, and it can die. */
import { Queue } from '#src/base/queue.ts';
import type { Role } from '#src/kernel/behaviour.ts';
import type { GateLife, Host, TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { Shell } from '#src/kernel/shell.ts';
import type { Dice } from './dice.ts';
import type { LivingPort } from './sim-port.ts';
import type { World } from './world.ts';

/** What a thread needs of the simulation around it. */
export interface SimThreadParts {
  readonly world: World;
  readonly name: string;
  readonly dice: Dice;
  readonly roles: Readonly<Record<string, Role>>;
  readonly fences: Int32Array;
  /** Opens a port for one life of a subtree. */
  readonly openPort: (name: string, life: GateLife) => LivingPort;
  /** How fast the machine's monotonic clock runs. */
  readonly clockRate: number;
  readonly post: (envelope: Envelope) => void;
  readonly tree: (request: TreeRequest) => void;
  readonly log: Host['log'];
}

/** See the top of this file. */
export class SimThread {
  readonly name: string;
  readonly shell: Shell;
  readonly #parts: SimThreadParts;
  /** Open ports with the life each belongs to, by name and life. */
  readonly #ports = new Map<string, { readonly life: GateLife; readonly port: LivingPort }>();
  readonly #held = new Queue<() => void>();
  #pauseCount = 0;
  #isDead = false;

  constructor(parts: SimThreadParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.shell = new Shell(this.#host(), parts.roles);
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isPaused(): boolean {
    return this.#pauseCount > 0;
  }

  /** Runs something on this thread: now, or when it wakes up, or never when it is dead. */
  enter(run: () => void): void {
    if (this.#isDead) return;
    if (this.isPaused) this.#held.push(run);
    else run();
  }

  /** Runs `due` on this thread when `afterMs` have passed by the machine's clock; the answer cancels it, at any moment. */
  timer(afterMs: number, due: () => void): () => void {
    let isDropped = false;
    const cancel = this.#parts.world.after(afterMs / this.#parts.clockRate, () =>
      this.enter(() => {
        if (!isDropped) due();
      }),
    );
    return () => {
      isDropped = true;
      cancel();
    };
  }

  /** Nothing runs until as many resumes have come. */
  pause(): void {
    this.#pauseCount++;
  }

  /** Whatever came meanwhile runs now, in order. */
  resume(): void {
    if (this.#pauseCount > 0) this.#pauseCount--;
    this.#goOn();
  }

  /** Ends every pause. */
  wake(): void {
    this.#pauseCount = 0;
    this.#goOn();
  }

  #goOn(): void {
    while (!this.isPaused && !this.#isDead) {
      const run = this.#held.shift();
      if (run === undefined) return;
      run();
    }
  }

  /** Its cells, timers and ports are gone; what it sent is under way. */
  die(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#held.clear();
    for (const { port } of this.#ports.values()) port.close();
  }

  #host(): Host {
    const { world, fences, dice, clockRate, name } = this.#parts;
    return {
      thread: name,
      fences,
      now: () => world.now * clockRate,
      random: dice.next,
      post: this.#parts.post,
      schedule: (run) => void world.after(dice.next() * 0.1, () => this.enter(run)),
      timer: (afterMs, due) => this.timer(afterMs, due),
      callPort: (port, request, answered, life) =>
        this.#port(port, life).call(request, (outcome) => this.enter(() => answered(outcome))),
      tree: this.#parts.tree,
      log: this.#parts.log,
      count: (counter) => {
        if (counter.startsWith('refused')) world.mark(`door: ${counter.split(' ').at(-1)}`);
      },
      swept: (fenced) => this.#closeFenced(fenced),
    };
  }

  #port(name: string, life: GateLife): LivingPort {
    const key = `${name} ${life.gate}.${life.generation}`;
    const open = this.#ports.get(key);
    if (open !== undefined) return open.port;
    const port = this.#parts.openPort(name, life);
    this.#ports.set(key, { life, port });
    return port;
  }

  #closeFenced(fenced: Int32Array): void {
    for (const [key, { life, port }] of this.#ports) {
      if (fenced[life.gate]! < life.generation) continue;
      this.#ports.delete(key);
      port.close();
    }
  }
}
