import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { type DataFolderLock, lockDataFolder } from '../store/data-folder-lock.ts';
import type { Database } from '../store/database.ts';
import { openEmbedded } from '../store/open-embedded.ts';
import { openPostgres } from '../store/open-postgres.ts';

export interface Store {
  readonly database: Database;
  readonly lock: DataFolderLock;
  close(): Promise<void>;
}

/**
 * The database, and the data folder (keys, checkpoints, and the embedded database itself) for this process alone.
 * @throws BulkheadError `data_folder_locked`, `store_unsafe`
 */
export async function openStore(config: Config): Promise<Store> {
  mkdirSync(config.dataFolder, { recursive: true, mode: 0o700 });
  const lock = lockDataFolder(config.dataFolder);
  try {
    const database = await openDatabase(config);
    return {
      database,
      lock,
      close: async () => {
        await database.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function openDatabase(config: Config): Promise<Database> {
  if (config.database !== undefined) return openPostgres(config.database);
  return openEmbedded({ folder: join(config.dataFolder, 'database') });
}
