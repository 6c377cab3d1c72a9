import type { Failure } from '../base/failure.ts';

/** Why a cell ended. `normal` and `shutdown` are no trouble; everything else is (OTP's sense of abnormal). */
export type Exit =
  | { readonly kind: 'normal' }
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'failure'; readonly failure: Failure }
  | { readonly kind: 'fault'; readonly message: string; readonly stack: string }
  | { readonly kind: 'killed' }
  | { readonly kind: 'thread-lost'; readonly thread: string }
  /** Its subtree was fenced: no supervisor starts it again, only a new life of the whole subtree does. */
  | { readonly kind: 'fenced' }
  /** Watched or addressed after it was gone. */
  | { readonly kind: 'no-process' };

/** True when a transient child is restarted after this exit. */
export function isAbnormal(exit: Exit): boolean {
  return exit.kind !== 'normal' && exit.kind !== 'shutdown';
}

/** One line for logs. */
export function exitText(exit: Exit): string {
  switch (exit.kind) {
    case 'failure':
      return `failure ${exit.failure.code}: ${exit.failure.message}`;
    case 'fault':
      return `fault: ${exit.message}`;
    case 'thread-lost':
      return `thread ${exit.thread} lost`;
    case 'normal':
    case 'shutdown':
    case 'killed':
    case 'fenced':
    case 'no-process':
      return exit.kind;
  }
}
