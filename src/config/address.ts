/** Network addresses of nodes: `HOST:PORT`, an IPv6 host in brackets. */
import { fail } from '../base/failure.ts';

/** A place to listen at or to connect to. */
export interface Address {
  /** Without brackets. */
  readonly host: string;
  /** 0…65535; 0 asks the system for a free port, which only a listener may do. */
  readonly port: number;
}

const form = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/@?#]+)):(\d{1,5})$/;

/** Reads `HOST:PORT`; CONFIG_INVALID names `option` and the form. */
export function parseAddress(text: string, option: string): Address {
  const match = form.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    return fail('CONFIG_INVALID', `${option}: "${text}" is not of the form HOST:PORT`);
  }
  return { host: match[1] ?? match[2]!, port };
}

/** `HOST:PORT` again. */
export function addressText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for an address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
