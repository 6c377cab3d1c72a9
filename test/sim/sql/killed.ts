/** Thrown into a statement whose session was ended: nothing catches it but the session's end. */
export class Killed extends Error {
  constructor() {
    super('killed');
  }
}
