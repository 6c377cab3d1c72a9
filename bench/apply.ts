export async function apply(o: { readonly json: boolean }): Promise<object> {
  return await Promise.resolve(o);
}
