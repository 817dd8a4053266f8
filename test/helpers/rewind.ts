/** A started PGlite that goes back to where it stood, in a fortieth of the time that starting another one takes. */
import type { PGlite } from '@electric-sql/pglite';

/** A file or folder in Emscripten's file system in memory. */
interface FileNode {
  mtime: number;
  readonly name_next: FileNode | undefined;
  contents: Bytes | Readonly<Record<string, FileNode>> | undefined;
  readonly usedBytes: number | undefined;
}

type Bytes = Int8Array | Uint8Array;

interface OpenFile {
  readonly node: FileNode;
  readonly shared: object;
}

/** What the type of PGlite’s module leaves out. */
interface MemoryFiles {
  /** Every node, in chains by the hash of its name. */
  readonly nameTable: (FileNode | undefined)[];
  /** By file descriptor. */
  readonly streams: (OpenFile | null | undefined)[];
}

/**
 * A database in memory is bytes: those of the engine and those of its files. Both are kept here, and come back when the
 * returned function is called between two statements, with whatever the session, its open transaction, the caches and
 * the tables were. Libraries are the exception: one that is loaded later stays, so all are to be loaded before.
 */
export function rememberState({ Module }: PGlite): () => void {
  const memory = Module.HEAPU8.slice();
  const files = rememberFiles(Module.FS as unknown as MemoryFiles);
  return () => {
    files();
    Module.HEAPU8.set(memory);
    Module.HEAPU8.fill(0, memory.length);
  };
}

function rememberFiles({ nameTable, streams }: MemoryFiles): () => void {
  const heads = [...nameTable];
  const open = streams.map(
    (stream) => stream && { stream, was: { ...stream }, shared: { ...stream.shared } },
  );
  const nodes = new Set(streams.flatMap((stream) => stream?.node ?? []));
  for (const head of heads) for (let node = head; node; node = node.name_next) nodes.add(node);
  const restores = [...nodes].map(rememberNode);
  return () => {
    heads.forEach((head, i) => {
      nameTable[i] = head;
    });
    for (const restore of restores) restore();
    streams.length = 0;
    for (const file of open)
      streams.push(file && Object.assign(file.stream, file.was, { shared: { ...file.shared } }));
  };
}

function rememberNode(node: FileNode): () => void {
  const { contents } = node;
  if (!isBytes(contents)) {
    const was = { ...node };
    return () => Object.assign(node, was, contents && { contents: { ...was.contents } });
  }
  // a write sets another time, and so tells which files to copy back
  node.mtime = 0;
  const was = { ...node };
  const bytes = contents.slice(0, node.usedBytes);
  let last = contents;
  return () => {
    if (node.mtime !== 0 || node.contents !== last) last = bytes.slice();
    Object.assign(node, was, { contents: last });
  };
}

function isBytes(contents: FileNode['contents']): contents is Bytes {
  return ArrayBuffer.isView(contents);
}
