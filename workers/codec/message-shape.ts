/** What messages of one kind look like that have the same fields in the same order. */
export interface MessageShape {
  readonly kind: string;
  /** Names of its fields without `kind` and `moved`. */
  readonly fields: readonly string[];
}

const fieldName = /^[A-Za-z][A-Za-z0-9]{0,63}$/;

/** True for what protocols name their fields; others, and what an object has of itself, are no fields of a shape. */
export function isFieldName(name: string): boolean {
  return fieldName.test(name) && name !== 'kind' && name !== 'moved';
}
