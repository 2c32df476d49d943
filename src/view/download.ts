// A file that a page gives away.

/** Has the browser save it, as any download. */
export function download(name: string, content: string | Uint8Array, type = 'application/octet-stream'): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content as string | Uint8Array<ArrayBuffer>], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function downloadJson(name: string, content: object): void {
  download(name, JSON.stringify(content, null, 1), 'application/json');
}
