/** Where a file lives: what it may import follows from it (STYLE §4). */
export type Storey =
  | 'base'
  | 'model'
  | 'kernel'
  | 'protocol'
  | 'ports'
  | 'config'
  | 'adapters'
  | 'actors'
  | 'workers'
  | 'test'
  | 'bench';

const insideSrc: readonly Storey[] = ['base', 'model', 'kernel', 'protocol', 'ports'];

/** What each storey may import, besides itself. */
const allowed: Readonly<Record<Storey, readonly Storey[]>> = {
  base: [],
  model: ['base'],
  kernel: ['base', 'model'],
  protocol: ['base', 'model', 'kernel'],
  ports: ['base', 'model', 'kernel', 'protocol'],
  config: ['base', 'model', 'ports'],
  adapters: ['base', 'model', 'ports', 'config'],
  actors: insideSrc,
  workers: [...insideSrc, 'config', 'adapters', 'actors'],
  test: [...insideSrc, 'config', 'adapters', 'actors', 'workers', 'bench'],
  bench: [...insideSrc, 'config', 'adapters', 'actors', 'workers', 'test'],
};

/** Storeys that use neither Node's modules nor packages: they run in the simulator as they are. */
const closed: ReadonlySet<Storey> = new Set([...insideSrc, 'actors']);

/** The storey of a path below the repository, or null for a path that has none. */
export function storeyOf(path: string): Storey | null {
  const [top, second] = path.split('/');
  const name = top === 'src' ? second : top;
  return name !== undefined && name in allowed ? (name as Storey) : null;
}

/** Why `file` may not import `module`, or null when it may. */
export function importProblem(file: string, module: string): string | null {
  const storey = storeyOf(file);
  if (storey === null) return null;
  if (!module.startsWith('.') && !module.startsWith('#')) {
    if (closed.has(storey)) return `${storey} imports neither Node modules nor packages`;
    if (module.includes('worker_threads') && !['workers', 'test', 'bench'].includes(storey)) {
      return 'only workers name threads';
    }
    return null;
  }
  const target = storeyOf(resolveModule(file, module));
  if (target === null || target === storey || allowed[storey].includes(target)) return null;
  return `${storey} may not import ${target}`;
}

/** The path of an imported file, from the repository's root. */
function resolveModule(file: string, module: string): string {
  if (module.startsWith('#')) return module.slice(1);
  const parts = file.split('/').slice(0, -1);
  for (const part of module.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}
