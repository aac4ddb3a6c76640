// A reader of CDDL (RFC 8610) that holds CBOR, as cbor2 decodes it, against a
// rule. It was written because no package for Node.js does: npm's `cddl` reads
// no integer keys, no .cbor and no tag of an array. It knows what
// docs/payload.cddl uses, and refuses to read anything else:
//
//   rules  types and choices  ranges  literals  maps  arrays  tags  ? + *  .size .regexp .cbor
import { decode, cdeDecodeOptions, Tag } from 'cbor2';

const TOKEN = /\s+|;[^\n]*|(?<tag>#6\.\d+)|(?<number>-?\d+)|"(?<text>[^"\\]*)"|(?<control>\.[a-z]+)|(?<name>[A-Za-z][\w-]*)|(?<sign>=>|\.\.|[=/(){}[\],:?+*])/uy;

export function parse(source) {
  const tokens = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < source.length;) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (!match) throw new Error(`CDDL, line ${lineOf(source, at)}: cannot read ${JSON.stringify(source.slice(at, at + 20))}`);
    for (const [kind, value] of Object.entries(match.groups)) {
      if (value !== undefined) tokens.push({ kind, value, at });
    }
  }
  let i = 0;
  const is = (value, ahead = 0) => tokens[i + ahead]?.kind === 'sign' && tokens[i + ahead].value === value;
  const wrong = (want) => new Error(`CDDL, line ${lineOf(source, tokens[i]?.at ?? source.length)}: ${tokens[i]?.value ?? 'end of file'}: want ${want}`);
  const take = (value) => { if (!is(value)) throw wrong(value); i++; };
  const accept = (value) => is(value) && ++i > 0;

  // type = type1 *( "/" type1 )
  const type = () => {
    const of = [type1()];
    while (accept('/')) of.push(type1());
    return of.length === 1 ? of[0] : { is: 'choice', of };
  };
  // type1 = type2 [ ".." type2 / control type2 ]
  const type1 = () => {
    const target = type2();
    if (accept('..')) return { is: 'range', from: target.value, to: type2().value };
    if (tokens[i]?.kind !== 'control') return target;
    const control = tokens[i++].value;
    if (!['.size', '.regexp', '.cbor'].includes(control)) throw wrong('.size, .regexp or .cbor');
    return { is: 'control', control, target, by: type2() };
  };
  const type2 = () => {
    const token = tokens[i++];
    switch (token?.kind) {
      case 'number': return { is: 'literal', value: BigInt(token.value) };
      case 'text': return { is: 'literal', value: token.value };
      case 'name': return { is: 'rule', name: token.value };
      case 'tag': {
        take('(');
        const content = type();
        take(')');
        return { is: 'tag', tag: BigInt(token.value.slice(3)), content };
      }
    }
    i--;
    if (accept('(')) { const inner = type(); take(')'); return inner; }
    if (accept('{')) return { is: 'map', entries: group('}') };
    if (accept('[')) return { is: 'array', entries: group(']') };
    throw wrong('a type');
  };
  const group = (end) => {
    const entries = [];
    while (!accept(end)) {
      const [least, most] = accept('?') ? [0, 1] : accept('+') ? [1, Infinity] : accept('*') ? [0, Infinity] : [1, 1];
      let key;
      if (tokens[i]?.kind === 'name' && is(':', 1)) { key = { is: 'literal', value: tokens[i].value }; i += 2; }
      let value = type();
      if (accept('=>')) { key = value; value = type(); }
      entries.push({ least, most, key, value });
      if (!is(end)) take(',');
    }
    return entries;
  };

  const rules = new Map();
  while (i < tokens.length) {
    const name = tokens[i].value;
    if (tokens[i++].kind !== 'name' || rules.has(name)) { i--; throw wrong('the name of a new rule'); }
    take('=');
    rules.set(name, type());
  }
  return rules;
}

const lineOf = (source, at) => source.slice(0, at).split('\n').length;
const isWhole = (v) => typeof v === 'bigint' || Number.isInteger(v);
const isMap = (v) => v instanceof Map;
const PRELUDE = {
  uint: (v) => isWhole(v) && v >= 0 && v < 1n << 64n,
  int: (v) => isWhole(v) && v >= -(1n << 64n) && v < 1n << 64n,
  bigint: (v) => typeof v === 'bigint' && (v >= 1n << 64n || v < -(1n << 64n)),
  bstr: (v) => v instanceof Uint8Array,
  tstr: (v) => typeof v === 'string',
  true: (v) => v === true,
};

// refusal says why a decoded value does not match a rule, or null when it does.
export function refusal(rules, name, value) {
  return match(rules, { is: 'rule', name }, value, name);
}

function match(rules, type, v, path) {
  const no = (want) => `${path}: ${show(v)} is not ${want}`;
  switch (type.is) {
    case 'rule':
      if (rules.has(type.name)) return match(rules, rules.get(type.name), v, path);
      if (!PRELUDE[type.name]) throw new Error(`CDDL: no rule ${type.name}`);
      return PRELUDE[type.name](v) ? null : no(type.name);
    case 'literal':
      return (typeof type.value === 'bigint' ? isWhole(v) && BigInt(v) === type.value : v === type.value) ? null : no(type.value);
    case 'range':
      return isWhole(v) && v >= type.from && v <= type.to ? null : no(`${type.from}..${type.to}`);
    case 'choice': {
      const all = type.of.map((t) => match(rules, t, v, path));
      return all.includes(null) ? null : all.join(', and ');
    }
    case 'tag':
      return v instanceof Tag && BigInt(v.tag) === type.tag ? match(rules, type.content, v.contents, `${path}.tag`) : no(`tag ${type.tag}`);
    case 'control': {
      const first = match(rules, type.target, v, path);
      if (first !== null) return first;
      switch (type.control) {
        case '.size': return BigInt(v.length) === type.by.value ? null : no(`of size ${type.by.value}`);
        case '.regexp': return new RegExp(`^(?:${type.by.value})$`, 'u').test(v) ? null : no(`like ${type.by.value}`);
        case '.cbor': return match(rules, type.by, read(v), `${path}.cbor`);
      }
    }
    case 'array': {
      if (!Array.isArray(v)) return no('an array');
      let at = 0;
      for (const e of type.entries) {
        let n = 0, why = `${path}: ends after ${at}`;
        for (; n < e.most && at < v.length; n++, at++) {
          why = match(rules, e.value, v[at], `${path}[${at}]`);
          if (why !== null) break;
        }
        if (n < e.least) return why;
      }
      return at === v.length ? null : `${path}: has ${v.length} elements, ${at} match`;
    }
    case 'map': {
      if (!isMap(v)) return no('a map');
      const left = new Map(v);
      for (const e of type.entries) {
        const key = [...left.keys()].find((k) => match(rules, e.key, k, path) === null);
        if (key === undefined) {
          if (e.least > 0) return `${path}: no key ${e.key.value}`;
          continue;
        }
        const why = match(rules, e.value, left.get(key), `${path}.${key}`);
        if (why !== null) return why;
        left.delete(key);
      }
      return left.size === 0 ? null : `${path}: unknown key ${[...left.keys()].map(show).join(', ')}`;
    }
  }
}

const show = (v) => v instanceof Uint8Array ? `h'${Buffer.from(v).toString('hex')}'` : isMap(v) ? 'map' : typeof v === 'bigint' ? `${v}` : JSON.stringify(v);

// read decodes CBOR in Core Deterministic Encoding and refuses any other.
export const read = (bytes) => decode(new Uint8Array(bytes), { ...cdeDecodeOptions, preferMap: true });
