/** The import rules of the design, section 7. test/import-rules holds a file that breaks each of them. */
const root = process.env.BULKHEAD_RULES_ROOT ?? 'src';
const at = (...folders) => `^${root}/(${folders.join('|')})(/|\\.tsx?$)`;
const only = (name, folders, allowed) => ({
  name,
  severity: 'error',
  from: { path: at(...folders) },
  to: { path: `^${root}/`, pathNot: at(...folders, ...allowed) },
});
const home = (name, library, ...homes) => ({
  name,
  severity: 'error',
  from: { path: `^${root}/`, pathNot: homes.map((file) => `^${root}/${file}`) },
  // by its place, or, where it is not installed, by its name
  to: { path: [`(^|/)node_modules/(${library})(/|$)`, `^(${library})(/|$)`] },
});

module.exports = {
  forbidden: [
    only('policy-stands-alone', ['policy'], []),
    only('errors-stand-alone', ['errors'], []),
    only('telemetry-stands-alone', ['telemetry'], []),
    only('config-knows-errors', ['config'], ['errors', 'telemetry']),
    only('embed-knows-errors', ['embed'], ['errors', 'telemetry']),
    only('guard-knows-errors', ['guard'], ['errors', 'telemetry']),
    only('crypto-knows-errors', ['crypto'], ['policy', 'errors']),
    only('store-knows-policy', ['store'], ['policy', 'errors']),
    only('index-knows-policy', ['index'], ['policy', 'errors', 'store']),
    only('identity-knows-store', ['identity'], ['policy', 'store', 'crypto', 'errors']),
    only('audit-knows-store', ['audit'], ['policy', 'store', 'errors']),
    only(
      'ingest-knows-the-core',
      ['ingest'],
      ['policy', 'store', 'index', 'embed', 'guard', 'crypto', 'audit', 'errors'],
    ),
    only(
      'retrieve-knows-the-core',
      ['retrieve'],
      ['policy', 'store', 'index', 'embed', 'guard', 'crypto', 'audit', 'errors'],
    ),
    only('admin-knows-the-core', ['admin'], ['policy', 'store', 'guard', 'audit', 'errors']),
    only('directory-knows-admin', ['directory'], ['policy', 'store', 'audit', 'admin', 'errors']),
    only('ui-shows-released-content', ['ui'], ['identity', 'retrieve', 'admin', 'http', 'policy', 'errors']),
    only(
      'http-knows-services',
      ['http'],
      [
        'identity',
        'ingest',
        'retrieve',
        'admin',
        'directory',
        'audit',
        'ui',
        'policy',
        'errors',
        'telemetry',
        'store',
      ],
    ),
    only(
      'cli-knows-services',
      ['cli'],
      [
        'identity',
        'ingest',
        'retrieve',
        'admin',
        'audit',
        'http',
        'dev',
        'config',
        'policy',
        'store',
        'errors',
        'assembly',
        'embed',
      ],
    ),
    {
      name: 'index-adapters-only-through-the-port',
      severity: 'error',
      from: { path: `^${root}/`, pathNot: [`^${root}/assembly/`, `^${root}/index/`] },
      to: { path: `^${root}/index/(pgvector|qdrant)-` },
    },
    {
      name: 'only-the-pgvector-adapter-knows-the-database',
      severity: 'error',
      from: { path: `^${root}/index/`, pathNot: `^${root}/index/pgvector-` },
      to: { path: `^${root}/store/`, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'nobody-imports-main',
      severity: 'error',
      from: { path: `^${root}/` },
      to: { path: `^${root}/main\\.ts$` },
    },
    {
      name: 'development-parts-only-from-the-edge',
      severity: 'error',
      from: { path: `^${root}/`, pathNot: [`^${root}/(dev|cli|assembly)/`] },
      to: { path: `^${root}/dev/`, dependencyTypesNot: ['type-only'] },
    },
    home('pg-and-kysely-live-in-store', 'pg|kysely|@electric-sql', 'store/', 'index/pgvector-'),
    home('qdrant-lives-in-its-adapter', '@qdrant', 'index/qdrant-'),
    home('transformers-live-in-embed', '@xenova|@huggingface|onnxruntime', 'embed/'),
    home('jose-and-openid-client-live-in-identity', 'jose|openid-client', 'identity/', 'dev/'),
    home('oidc-provider-lives-in-dev', 'oidc-provider', 'dev/'),
    home('directory-formats-live-in-directory', 'scim2-parse-filter', 'directory/'),
    home('rate-limiter-lives-in-http', 'rate-limiter-flexible', 'http/rate-limit'),
    home('hono-lives-in-http-and-ui', 'hono|@hono', 'http/', 'ui/', 'dev/'),
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    tsPreCompilationDeps: 'specify',
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
