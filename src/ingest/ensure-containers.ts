/** Brings the tree of containers into line with what a source defines. */
import { BulkheadError } from '../errors.ts';
import type { Entry } from '../policy/access-class.ts';
import { type ClassId, instant } from '../policy/ids.ts';
import type { LabelScheme } from '../policy/label.ts';
import { internKey } from '../store/access-classes.ts';
import { type ContainerRow, Containers, type EntryRow, type NewEntry } from '../store/containers.ts';
import type { Work } from '../store/database.ts';
import { isInsufficientPrivilege } from '../store/database-error.ts';
import { ManagedDocuments } from '../store/documents.ts';
import { byWhom } from './7-write.ts';
import { type JoinedFields, joinFields } from './join-fields.ts';
import type { ContainerDefinition } from './sources/folder.ts';
import type { IngestParts, Submitter } from './submission.ts';
