// Conditions on trials in the grammar of `caviar runs list --where` (caviar.reading.where), parsed, never run as code:
// optimizer.lr < 1e-3 and state == 'COMPLETE'. Whatever cannot be understood is thrown as one line that says so.
const TOKEN = /\s*(?:((?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([\p{L}_][\p{L}\p{N}_]*)|(<=|>=|==|!=|[<>()[\]{},./+-]))/uy;
const WORDS = { None: null, True: true, False: false };
const ORDERED = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };
const EXAMPLE = "a condition compares columns with values, as in optimizer.lr < 1e-3 and state == 'COMPLETE'";

class NotUnderstood extends Error {}
function tokensOf(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex, match = TOKEN.exec(text);
    if (!match) throw new NotUnderstood(`not readable at ${text.slice(at).trim()}${slipIn(text)}`);
    const [, number, string, name, mark] = match;
    const value = number !== undefined ? Number(number.replaceAll("_", "")) : string !== undefined ? string.slice(1, -1).replace(/\\(.)/g, "$1") : null;
    found.push({ kind: number !== undefined ? "number" : string !== undefined ? "string" : name !== undefined ? "name" : "mark", text: number ?? string ?? name ?? mark, value, start: at, end: TOKEN.lastIndex });
  }
  return found;
}
function slipIn(text) {
  const bare = text.replace(/'[^']*'|"[^"]*"/g, "");
  if (/(^|[^=<>!])=([^=]|$)/.test(bare)) return "; equality is written ==";
  return /\b(AND|OR|NOT)\b/.test(bare) ? "; and, or, not are written small" : "";
}
// Python's precedence: or, and, not, comparisons, which may be chained; then names, values, lists.
class Parser {
  constructor(text) { this.text = text; this.tokens = tokensOf(text); this.at = 0; }
  get next() { return this.tokens[this.at]; }
  is(...texts) { return this.next && this.next.kind !== "string" && texts.includes(this.next.text); }
  take(text) { if (!this.is(text)) return false; this.at++; return true; }
  fail() {
    throw new NotUnderstood(this.next ? `not readable at ${this.text.slice(this.next.start).trim()}${slipIn(this.text)}` : `not readable: it ends too soon${slipIn(this.text)}`);
  }
  want(text) { if (!this.take(text)) this.fail(); }
  node(kind, start, more) { return { kind, source: this.text.slice(this.tokens[start].start, this.tokens[this.at - 1].end).trim(), ...more }; }
  whole() { const found = this.either(); if (this.next) this.fail(); return found; }
  joined(word, part) {
    const start = this.at, parts = [part()];
    while (this.take(word)) parts.push(part());
    return parts.length === 1 ? parts[0] : this.node(word, start, { parts });
  }
  either() { return this.joined("or", () => this.joined("and", () => this.negated())); }
  negated() {
    const start = this.at;
    return this.take("not") ? this.node("not", start, { parts: [this.negated()] }) : this.compared();
  }
  compared() {
    const start = this.at, terms = [this.operand()], tests = [];
    for (let test = this.test(); test; test = this.test()) { tests.push(test); terms.push(this.operand()); }
    return tests.length ? this.node("compare", start, { terms, tests }) : terms[0];
  }
  test() {
    if (this.take("not")) { this.want("in"); return "not in"; }
    if (this.take("is")) return this.take("not") ? "!=" : "==";
    return this.is("<", "<=", ">", ">=", "==", "!=", "in") ? this.tokens[this.at++].text : null;
  }
  operand() {
    const start = this.at, token = this.next;
    if (!token || this.is("and", "or", "not", "in", "is")) this.fail();
    this.at++;
    if (token.kind === "number" || token.kind === "string") return this.node("value", start, { value: token.value });
    if (token.kind === "name" && token.text in WORDS) return this.node("value", start, { value: WORDS[token.text] });
    if (token.text === "col" && this.is("(")) {
      this.at++;
      const name = this.next?.kind === "string" ? this.tokens[this.at++].value : this.fail();
      this.want(")");
      return this.node("column", start, { name });
    }
    if (token.kind === "name") {
      let name = token.text;
      while (this.is(".", "/")) {
        name += this.tokens[this.at++].text;
        if (this.next?.kind !== "name") this.fail();
        name += this.tokens[this.at++].text;
      }
      return this.node("column", start, { name });
    }
    if (token.text === "-" || token.text === "+") {
      const { kind, value } = this.operand();
      if (kind !== "value" || typeof value !== "number") { this.at = start; this.fail(); }
      return this.node("value", start, { value: token.text === "-" ? -value : value });
    }
    const close = { "(": ")", "[": "]", "{": "}" }[token.text];
    if (!close) { this.at = start; this.fail(); }
    const items = [];
    let comma = token.text !== "(";
    while (!this.is(close)) {
      items.push(this.either());
      if (!this.take(",")) break;
      comma = true;
    }
    this.want(close);
    return comma || !items.length ? this.node("list", start, { items }) : items[0];
  }
}
// A condition on what `get(trial, column)` gives; its `clash` is a comparison that in no trial can be made.
function condition(text, columns) {
  const clashes = new Map();
  const refuse = (node) => { throw new NotUnderstood(`${node.source} cannot stand there; ${EXAMPLE}`); };
  const resolved = (name) => {
    if (columns.includes(name)) return name;
    const ends = columns.filter((column) => column.endsWith(`.${name}`) || column.endsWith(`/${name}`));
    if (ends.length === 1) return ends[0];
    if (ends.length) throw new NotUnderstood(`${name}: more than one column ends so: ${ends.join(", ")}`);
    const near = nearest(name, [...columns, ...columns.map((c) => c.split(".").at(-1))]);
    throw new NotUnderstood(`${name}: no such column; ${near ? `did you mean ${near}?` : `a word stands in quotes: '${name}'`}`);
  };
  const constant = (node) => node.kind === "value" ? node.value : node.kind === "list" ? node.items.map(constant) : refuse(node);
  const term = (node) => {
    if (node.kind === "column") { const column = resolved(node.name); return (get) => get(column); }
    const value = constant(node);
    return () => value;
  };
  const testOf = (test, node) => {
    if (test === "==") return isEqual;
    if (test === "!=") return (a, b) => !isEqual(a, b);
    if (test === "in") return isIn;
    if (test === "not in") return (a, b) => !isIn(a, b);
    return (a, b) => {
      if (areOrdered(a, b)) { clashes.set(node.source, null); return ORDERED[test](a, b); }
      if (a !== null && b !== null && !clashes.has(node.source)) clashes.set(node.source, [a, b]);
      return false;
    };
  };
  const holds = (node) => {
    const parts = (node.parts || []).map(holds);
    if (node.kind === "and") return (get) => parts.every((part) => part(get));
    if (node.kind === "or") return (get) => parts.some((part) => part(get));
    if (node.kind === "not") return (get) => !parts[0](get);
    if (node.kind === "column") { const of = term(node); return (get) => Boolean(of(get)) || Number.isNaN(of(get)); }
    if (node.kind !== "compare") return refuse(node);
    const terms = node.terms.map(term), tests = node.tests.map((test) => testOf(test, node));
    return (get) => { const values = terms.map((of) => of(get)); return tests.every((test, i) => test(values[i], values[i + 1])); };
  };
  const test = holds(new Parser(text).whole());
  return {
    test,
    get clash() {
      const found = [...clashes].find(([, values]) => values);
      return found ? `${found[0]} compares ${JSON.stringify(found[1][0])} with ${JSON.stringify(found[1][1])}; in no trial can that be` : "";
    },
  };
}
function areOrdered(a, b) {
  const number = (v) => typeof v === "number" || typeof v === "boolean";
  return (number(a) && number(b)) || (typeof a === "string" && typeof b === "string");
}
function isEqual(a, b) { return (typeof a === "boolean") === (typeof b === "boolean") && a === b; }
function isIn(a, b) { return Array.isArray(b) ? b.some((item) => isEqual(a, item)) : typeof a === "string" && typeof b === "string" && b.includes(a); }
// The name that is at most a third of its letters away, if there is one.
function nearest(name, names) {
  const distance = (a, b) => {
    let row = [...Array(b.length + 1).keys()];
    for (let i = 1; i <= a.length; i++) row = b.split("").reduce((made, letter, j) => [...made, Math.min(made[j] + 1, row[j + 1] + 1, row[j] + (a[i - 1] !== letter))], [i]);
    return row.at(-1);
  };
  const best = [...new Set(names)].map((other) => [distance(name, other), other]).sort((x, y) => x[0] - y[0])[0];
  return best && best[0] <= name.length / 3 ? best[1] : null;
}
