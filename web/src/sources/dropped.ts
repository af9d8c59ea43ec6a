/** The files of a drop, those inside its folders too. */

/** Call this in the event's handler: afterwards a browser forgets what was dropped. */
export async function droppedFiles({ items, files }: DataTransfer): Promise<File[]> {
  const plain = [...files];
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (!entries.some(({ isDirectory }) => isDirectory)) return plain;
  return (await Promise.all(entries.map(async (entry) => {
    const found = await filesOf(entry);
    // A folder often has other files, such as a list of labels. They need no message.
    return entry.isDirectory ? found.filter(({ type }) => /^(image|video)\//.test(type)) : found;
  }))).flat();
}

/** The file, or all files of the folder in the order of their names, without hidden ones. */
async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  try {
    if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
    const entries = await entriesOf(entry as FileSystemDirectoryEntry);
    entries.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
    return (await Promise.all(entries.filter(({ name }) => !name.startsWith(".")).map(filesOf))).flat();
  } catch {
    // What cannot be read is reported by its name, as an image that cannot be opened.
    return [new File([], entry.name, { type: "image/unreadable" })];
  }
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  // A reader gives a part at a time, and at the end nothing.
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return entries;
    entries.push(...part);
  }
}
