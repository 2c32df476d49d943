// Where the tuner remembers: text by key.

export interface TuneStore {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}

const DATABASE = 'glia';
const TABLE = 'tuning';

/** Remembers for the life of this page or process. */
function memoryStore(): TuneStore {
  const values = new Map<string, string>();
  return {
    get: async (key) => values.get(key),
    set: async (key, value) => {
      values.set(key, value);
    },
  };
}

/** IndexedDB, which pages and workers of one origin share. */
function indexedDbStore(): TuneStore {
  const settled = <T>(request: IDBRequest<T>) =>
    new Promise<T>((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = () => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    return settled(request);
  };
  const use = async <T>(mode: IDBTransactionMode, work: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const database = await open();
    try {
      return await settled(work(database.transaction(TABLE, mode).objectStore(TABLE)));
    } finally {
      database.close();
    }
  };
  return {
    get: (key) => use('readonly', (table) => table.get(key) as IDBRequest<string | undefined>),
    set: async (key, value) => {
      await use('readwrite', (table) => table.put(value, key));
    },
  };
}

const fallback = memoryStore();

/** IndexedDB where it is to be had; else memory. In Node, give a store that writes a file. */
export function tuneStore(): TuneStore {
  if (typeof indexedDB === 'undefined') return fallback;
  const store = indexedDbStore();
  // A browser may forbid storage to a page: tuning works all the same, and is forgotten with the page.
  return {
    get: (key) => store.get(key).catch(() => fallback.get(key)),
    set: (key, value) => store.set(key, value).catch(() => fallback.set(key, value)),
  };
}
