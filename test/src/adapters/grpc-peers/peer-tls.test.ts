/** Certificates made by openssl: what lets a capture in, and what does not. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { Authority, type CertificateFiles } from '#test/net/certificates.ts';
import { join, quickTiming, TestCapture, until } from './stage.ts';

import type { PeerMember } from '#src/ports/peers.ts';

const directory = mkdtempSync(joinPath(tmpdir(), 'sluice-tls-'));
after(() => rmSync(directory, { recursive: true }));
const authority = Authority.make(directory);
const nodeA = authority.issue('node-a');
const nodeB = authority.issue('node-b');

async function open(
  t: TestContext,
  id: string,
  files: CertificateFiles | null,
  allowedNames: readonly string[] = [],
): Promise<TestCapture> {
  const tls = files === null ? null : { ...files, allowedNames };
  // On a busy machine a TLS handshake takes long, and what is expected here is its answer.
  const timing = { ...quickTiming, handshakeMs: 2_000 };
  const capture = await TestCapture.open(id, { tls, timing });
  t.after(() => capture.peers.close());
  return capture;
}

/** Opens A and B as members of each other and answers why A does not reach B. */
async function refusal(
  t: TestContext,
  a: CertificateFiles | null,
  b: CertificateFiles | null,
  memberB: Partial<PeerMember> = {},
  allowedNames: readonly string[] = [],
): Promise<string> {
  const [from, to] = [await open(t, 'a', a), await open(t, 'b', b, allowedNames)];
  to.peers.setMembers([from.member()]);
  from.peers.setMembers([{ ...to.member(), ...memberB }]);
  await until('several refusals', () => (from.link('b')?.failureCount ?? 0) >= 2);
  const failure = from.link('b')!.failure!;
  assert.deepEqual(to.arrived, []);
  // Whoever logs hears the same, each time.
  const told = from.lost.filter(({ peerClass }) => peerClass === 'control');
  assert.deepEqual(told.map(({ failureCount }) => failureCount).slice(0, 2), [1, 2]);
  assert.equal(told[1]!.failure?.code, failure.code);
  return `${failure.code}: ${failure.cause ?? failure.message}`;
}

test('captures with certificates of one authority reach each other', async (t) => {
  const [a, b] = [await open(t, 'a', nodeA, ['node-b']), await open(t, 'b', nodeB, ['node-a'])];
  await join([a, b]);
  assert.equal(a.say('b', 'x'), 'queued');
  await until('it arrived', () => b.texts().includes('x'));
});

test('wrong authority, expired, wrong host, plain text, no client certificate: each is refused', async (t) => {
  const foreign = Authority.make(directory, 'foreign');
  const wrongCa = foreign.issue('node-b');
  assert.match(await refusal(t, nodeA, wrongCa), /PEER_UNREACHABLE: .*certificate/);
  // The other way round: B's authority does not know A's certificate.
  const trusting = { ...foreign.issue('node-a'), caPath: nodeB.caPath };
  assert.match(await refusal(t, trusting, nodeB), /PEER_UNREACHABLE: /);
  const expired = authority.issue('old', { days: -1 });
  assert.match(await refusal(t, nodeA, expired), /PEER_UNREACHABLE: .*expired/);
  assert.match(await refusal(t, expired, nodeB), /PEER_UNREACHABLE: /);
  const elsewhere = authority.issue('elsewhere', { host: '192.0.2.1' });
  assert.match(await refusal(t, nodeA, elsewhere), /PEER_UNREACHABLE: .*192\.0\.2\.1/);
  assert.match(await refusal(t, null, nodeB), /PEER_UNREACHABLE: /);
  assert.match(await refusal(t, nodeA, null), /PEER_UNREACHABLE: /);
});

test('a certificate without an allowed name is refused by either side', async (t) => {
  assert.equal(
    await refusal(t, nodeA, nodeB, {}, ['node-c']),
    'PEER_REFUSED: the certificate of node-a carries none of the allowed names',
  );
});

test('a member whose record names another certificate is not spoken to', async (t) => {
  assert.match(
    await refusal(t, nodeA, nodeB, { certificateName: 'node-c' }),
    /PEER_UNREACHABLE: .*the certificate of node-b does not belong to capture b/,
  );
});

test('a capture id belongs to the certificate it was first seen with', async (t) => {
  const b = await open(t, 'b', nodeB);
  const a = await open(t, 'a', nodeA);
  const thief = await open(t, 'a', authority.issue('node-c'));
  b.peers.setMembers([a.member()]);
  a.peers.setMembers([b.member()]);
  await a.joined('b');
  thief.peers.setMembers([b.member()]);
  await until('the thief is refused', () => thief.link('b')?.failure !== null);
  assert.equal(
    thief.link('b')?.failure?.message,
    'the certificate of node-c does not belong to capture a',
  );
  assert.equal(a.link('b')?.failureCount, 0);
});

test('replaced certificate files are used from the next connection on; standing links stay', async (t) => {
  const files = authority.issue('rolling', { days: 1 });
  const [a, b] = [await open(t, 'a', nodeA), await open(t, 'b', files)];
  await join([a, b]);
  const expired = authority.issue('expired', { days: -1 });
  copyFileSync(expired.certPath, files.certPath);
  copyFileSync(expired.keyPath, files.keyPath);
  assert.equal(a.say('b', 'x'), 'queued');
  await until('it arrived', () => b.texts().includes('x'));
  const c = await open(t, 'c', nodeA);
  b.peers.setMembers([a.member(), c.member()]);
  c.peers.setMembers([b.member()]);
  await until('the new certificate is seen', () => c.link('b')?.failure !== null);
  assert.match(c.link('b')?.failure?.cause ?? '', /expired/);
  const fresh = authority.issue('rolling-2');
  copyFileSync(fresh.certPath, files.certPath);
  copyFileSync(fresh.keyPath, files.keyPath);
  await c.joined('b');
});
