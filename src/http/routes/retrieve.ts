import { createRoute, z } from '@hono/zod-openapi';
import { BulkheadError } from '../../errors.ts';
import { instant } from '../../policy/ids.ts';
import type { RetrieveFilters } from '../../retrieve/stages.ts';
import { JSON_BYTES, jsonBodyUpTo } from '../body.ts';
import { newRoutes } from '../env.ts';
import { jsonBody, jsonResponse } from '../openapi.ts';
import { answerView } from '../schemas.ts';
import type { Services } from '../services.ts';
import { inOrder, instantText, labelName, plainText, present } from '../validation.ts';

/** UTF-16 code units. */
export const MAX_QUESTION = 2_000;

export const question = plainText(MAX_QUESTION).refine((text) => text.trim() !== '', {
  message: 'must not be blank',
});

const filters = z
  .strictObject({
    container: plainText(1_000).optional().describe('path; what is below it counts'),
    source: plainText(200).optional(),
    media_type: plainText(200).optional(),
    from: instantText.optional().describe('earliest date of the content'),
    until: instantText.optional().describe('the date before which the content is'),
    max_level: labelName.optional().describe('highest level wanted'),
  })
  .refine(inOrder, { message: 'must begin before it ends', path: ['from'] });

const request = z
  .strictObject({
    query: question,
    limit: z.int().min(1).max(50).default(10),
    filters: filters.prefault({}),
  })
  .openapi('RetrieveRequest', {
    example: { query: 'When are salaries paid in December?', limit: 5, filters: { container: '/hr' } },
  });

const route = createRoute({
  method: 'post',
  path: '/v1/retrieve',
  summary: 'Passages that answer a question, among those the caller may read',
  middleware: jsonBodyUpTo(JSON_BYTES),
  request: { body: jsonBody(request) },
  responses: { 200: jsonResponse(answerView, 'Passages, best first.') },
});

/** @param levels names, lowest first */
export function retrieveRoutes(services: Services, levels: readonly string[]) {
  return newRoutes().openapi(route, async (c) => {
    const { identity, requestId } = c.get('caller');
    const { query, limit, filters } = c.req.valid('json');
    const { content, receipt } = await services.retrieve(identity, {
      requestId,
      query,
      limit,
      filters: toFilters(filters, levels),
    });
    return c.json({ ...content, receipt }, 200);
  });
}

function toFilters(
  { container, source, media_type: mediaType, from, until, max_level }: z.output<typeof filters>,
  levels: readonly string[],
): RetrieveFilters {
  return present({
    container,
    source,
    mediaType,
    from: from === undefined ? undefined : instant(from),
    until: until === undefined ? undefined : instant(until),
    maxRank: max_level === undefined ? undefined : rankOf(max_level, levels),
  });
}

function rankOf(level: string, levels: readonly string[]): number {
  const rank = levels.indexOf(level);
  if (rank === -1)
    throw new BulkheadError('unknown_level', `The levels are ${levels.join(', ')}.`, {
      issues: [{ path: 'filters.max_level', message: 'is not a configured level' }],
    });
  return rank;
}
