/**
 * What messages of one kind look like that have the same fields in the same order, and code made for exactly that look: it
 * takes half the time of a loop over field names, because each access then meets one form of object only.
 */
import { assert } from '#src/base/assert.ts';
import type { ValueReader } from './value-reader.ts';
import type { ValueWriter } from './value-writer.ts';

/** Any message as a bag of fields. */
export type Fields = Record<string, unknown>;

/** See the top of this file. */
export interface MessageShape {
  readonly kind: string;
  /** Names of its fields without `kind` and `moved`. */
  readonly fields: readonly string[];
  /** Writes the values of all fields, in order. */
  readonly write: (out: ValueWriter, message: object) => void;
  /** A message of the values that come next. */
  readonly read: (source: ValueReader) => Fields;
}

const fieldName = /^[A-Za-z][A-Za-z0-9]{0,63}$/;

/** True for what protocols name their fields; others, and what an object has of itself, are no fields of a shape. */
export function isFieldName(name: string): boolean {
  return fieldName.test(name) && name !== 'kind' && name !== 'moved';
}

/** Shapes that came before, one object each as long as there are not too many of them. */
const shapes = new Map<string, MessageShape>();
const shapeCountMax = 4_096;

/** The shape of `kind` with `fields`, each a field name; a Fault when one of them is none. */
export function shapeOf(kind: string, fields: readonly string[]): MessageShape {
  const key = JSON.stringify([kind, fields]);
  const known = shapes.get(key);
  if (known !== undefined) return known;
  // Shapes come from other nodes too: what becomes code is field names, and the kind as a literal.
  assert(fields.every(isFieldName), 'a field has no proper name');
  const values = fields.map((name) => `out.value(message.${name});`);
  const entries = fields.map((name) => `, ${name}: source.value()`);
  const shape: MessageShape = {
    kind,
    fields,
    write: compiled('out, message', values.join('')) as MessageShape['write'],
    read: compiled(
      'source',
      `return { kind: ${JSON.stringify(kind)}${entries.join('')} };`,
    ) as MessageShape['read'],
  };
  if (shapes.size >= shapeCountMax) shapes.clear();
  shapes.set(key, shape);
  return shape;
}

function compiled(parameters: string, body: string): unknown {
  // oxlint-disable-next-line typescript/no-implied-eval -- see above: nothing but checked names
  return new Function(parameters, `'use strict'; ${body}`);
}
