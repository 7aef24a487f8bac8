// The metadata of an ONNX file, which onnxruntime-web does not give: a reader of as much of protobuf
// as that takes. ModelProto has a list `metadata_props` (field 14) of pairs, a key (1) and a value (2).

const PROPERTY = 14;

/** All metadata of a file's bytes, by key. Of something else than an ONNX file: nothing. */
export function metadata(bytes) {
  const found = new Map(), text = new TextDecoder();
  for (const [field, content] of fields(bytes)) {
    if (field !== PROPERTY) continue;
    const pair = new Map(fields(content));
    if (pair.has(1) && pair.has(2)) found.set(text.decode(pair.get(1)), text.decode(pair.get(2)));
  }
  return found;
}

/** The fields of a message that have a length, as [number, bytes]; others are passed over. */
function* fields(bytes) {
  let at = 0;
  function number() {
    // No shifts: they end at 32 bits, and a graph may be longer than 2 GB.
    for (let value = 0, place = 1; ; place *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte % 128) * place;
      if (byte < 128) return value;
    }
  }
  while (at < bytes.length) {
    const tag = number(), kind = tag % 8;
    if (kind === 0) number();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = number();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else return; // no protobuf
  }
}
