// node check.mjs PAYLOAD.CDDL VECTOR.json… : reads what smgw sends as anyone
// else would, with docs/payload.cddl, cbor2 and @auth0/cose, and says what does
// not hold. docs/vectors/README.md describes a vector. One with "wrong" must be
// refused.
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cdeEncodeOptions, diagnose, encode } from 'cbor2';
import { parse, read, refusal } from './cddl.mjs';

const { Sign1 } = createRequire(import.meta.url)('@auth0/cose'); // its ES modules do not load in Node.js 18
const [schema, ...files] = process.argv.slice(2);
const rules = parse(readFileSync(schema, 'utf8'));
const QUARTER = 900_000; // ms
const STATES = { 2: 'substitute', 3: 'preliminary', 4: 'unusable', 5: 'missing' };
const KINDS = { 1: 'energy', 2: 'max_power', 3: 'register', 4: 'load_profile', 5: 'momentary' };
// Units of momentary figures by groups C of their codes; 81 are angles.
const UNITS = { 2: 'kW', 32: 'V', 52: 'V', 72: 'V', 31: 'A', 51: 'A', 71: 'A', 91: 'A', 14: 'Hz', 81: '°' };

const unhex = (s) => new Uint8Array(Buffer.from(s, 'hex'));
const hex = (b) => Buffer.from(b).toString('hex');
const time = (quarter) => new Date(Number(quarter) * QUARTER).toISOString();
const instant = (text) => text === null ? null : new Date(text).toISOString();

function demand(holds, what) {
  if (!holds) throw new Error(what);
}

// decimal is mantissa × 10^exponent as plain text without trailing zeros.
function decimal(mantissa, exponent) {
  const sign = mantissa < 0n ? '-' : '';
  const digits = `${mantissa < 0n ? -mantissa : mantissa}`;
  if (exponent >= 0) return sign + (digits === '0' ? '0' : digits + '0'.repeat(exponent));
  const padded = digits.padStart(1 - exponent, '0');
  return (sign + padded.slice(0, exponent) + '.' + padded.slice(exponent)).replace(/\.?0+$/, '');
}

function figure(state, reason, method, warning) {
  return {
    state: STATES[state] ?? 'true',
    ...(reason && { reason }), ...(method && { method }), ...(warning && { warning: 'offset' }),
  };
}

// intervals unpacks a load profile as docs/payload.cddl says.
function intervals(v, quarters) {
  const runs = v.get(12) ?? [[quarters, 0, '', '', 0]];
  const packed = v.get(11) ?? new Uint8Array();
  const present = runs.reduce((n, [count, state]) => n + (STATES[state] === 'missing' ? 0 : count), 0);
  const width = present && packed.length / present;
  let at = 0;
  return runs.flatMap(([count, state, reason, method, warning]) => Array.from({ length: count }, () => {
    let value = null;
    if (STATES[state] !== 'missing') value = decimal(BigInt('0x' + hex(packed.slice(at, at += width))), Number(v.get(10) ?? 0));
    return { value, ...figure(state, reason, method, warning) };
  }));
}

// values says in the words of `smgw form preview` what a decoded payload says.
function values(p) {
  return p.get(10).map((v) => {
    const [a, b, c, d, e] = v.get(1);
    const kind = KINDS[v.get(2)];
    const head = { obis: `${a}-${b}:${c}.${d}.${e}`, kind, unit: kind === 'momentary' ? UNITS[c] : kind === 'max_power' ? 'kW' : 'kWh' };
    if (kind === 'load_profile') return { ...head, start: time(p.get(8)), intervals: intervals(v, p.get(9)) };
    const amount = v.get(4)?.contents;
    return {
      ...head,
      ...((kind === 'register' || kind === 'max_power') && { time: v.has(3) ? time(v.get(3)) : null }),
      value: amount ? decimal(BigInt(amount[1]), amount[0]) : null,
      ...figure(v.get(5), v.get(6), v.get(7), v.get(8)),
      ...(v.has(9) && { missing_intervals: v.get(9) }),
      ...(v.has(13) && { final: v.get(13) }),
    };
  });
}

const canonical = (v) => JSON.stringify(v, (_, o) => o && typeof o === 'object' && !Array.isArray(o)
  ? Object.fromEntries(Object.entries(o).sort(([a], [b]) => a < b ? -1 : 1)) : o);

// readPayload decodes a payload and holds it against docs/payload.cddl.
function readPayload(bytes) {
  const p = read(bytes);
  const why = refusal(rules, 'payload', p);
  demand(why === null, why);
  return p;
}

async function check(vector) {
  const bytes = unhex(vector.payload);
  const p = readPayload(bytes);
  demand(hex(encode(p, cdeEncodeOptions)) === vector.payload, 'encoded again it is other bytes');
  if (vector.diagnostic) demand(diagnose(bytes) === vector.diagnostic, `its diagnostic notation is ${diagnose(bytes)}`);

  const identity = [p.get(2), p.get(4), p.get(5), p.get(6), p.get(7), p.get(8), p.get(8) + p.get(9), p.get(11) ?? 0];
  if (p.has(14)) identity.push(p.get(14));
  demand(refusal(rules, 'identity', identity) === null, 'its identity');
  const id = createHash('sha256').update(encode(identity, cdeEncodeOptions)).digest('hex').slice(0, 32);
  demand(id === vector.id, `its id is ${id}`);

  const want = vector.values.map((v) => ({ ...v, ...('time' in v && { time: instant(v.time) }), ...('start' in v && { start: instant(v.start) }) }));
  demand(canonical(values(p)) === canonical(want), `it says ${canonical(values(p))}`);

  const signed = unhex(vector.signed);
  const unsound = refusal(rules, 'signed', read(signed));
  demand(unsound === null, unsound);
  const key = createPublicKey({ key: vector.key, format: 'jwk' });
  const message = Sign1.decode(signed);
  await message.verify(key);
  demand(hex(message.payload) === vector.payload, 'what is signed is something else');
  const forged = signed.slice();
  forged[forged.length - 70] ^= 1; // in the payload's end, before the signature
  await Sign1.decode(forged).verify(key).then(
    () => { throw new Error('a changed byte is not noticed'); },
    (error) => demand(error.code === 'ERR_COSE_SIGNATURE_VERIFICATION_FAILED', error),
  );
}

let passed = 0, failed = 0;
for (const file of files) {
  const vector = JSON.parse(readFileSync(file, 'utf8'));
  try {
    if (vector.wrong === undefined) {
      await check(vector);
    } else {
      let refused = false;
      try { readPayload(unhex(vector.payload)); } catch { refused = true; }
      demand(refused, `accepted in spite of ${vector.wrong}`);
    }
    passed++;
  } catch (error) {
    failed++;
    console.log(`${file}: ${error.message}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
