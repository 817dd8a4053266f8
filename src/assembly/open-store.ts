import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { type DataFolderLock, lockDataFolder } from '../store/data-folder-lock.ts';
import type { Database } from '../store/database.ts';
import { openEmbedded } from '../store/open-embedded.ts';
import { openPostgres } from '../store/open-postgres.ts';
import { refuseUnfit, usesIndex } from './roles.ts';

export interface Store {
  readonly database: Database;
  readonly lock: DataFolderLock;
  close(): Promise<void>;
}

/**
 * The database, and the data folder (keys, checkpoints, and the embedded database itself) for this process alone.
 * @param warn told of what is not well and can be lived with
 * @throws BulkheadError `config_invalid`, `data_folder_locked`, `store_unsafe`
 */
export async function openStore(config: Config, warn: (line: string) => void = () => {}): Promise<Store> {
  refuseUnfit(config);
  mkdirSync(config.dataFolder, { recursive: true, mode: 0o700 });
  const lock = lockDataFolder(config.dataFolder);
  try {
    const opened = await openDatabase(config, warn);
    const database = config.role === 'all' ? opened : opened.boundTo(config.role);
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

function openDatabase(config: Config, warn: (line: string) => void): Promise<Database> {
  if (config.database !== undefined)
    return openPostgres({
      ...config.database,
      role: config.role,
      production: config.production,
      withVectorIndex: config.qdrant === undefined && usesIndex(config.role),
      now: Date.now,
      warn,
    });
  return openEmbedded({ folder: join(config.dataFolder, 'database') });
}
