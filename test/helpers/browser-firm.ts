/** The whole application with identity providers that a test decides over, and sessions in the database. */
import { sessionEnding } from '../../src/assembly/session-ending.ts';
import { createApp } from '../../src/http/app.ts';
import { listen } from '../../src/http/server.ts';
import type { Services } from '../../src/http/services.ts';
import { createLogoutTokens } from '../../src/identity/logout-token.ts';
import { createSignIn } from '../../src/identity/sign-in.ts';
import { PostgresSessionStore } from '../../src/store/session-store.ts';
import { TenantIds } from '../../src/store/tenant-ids.ts';
import { openTestApp, type TestApp, type TestAppChanges } from './app.ts';
import { BrowserProvider, CLIENT } from './browser-provider.ts';
import { Browser, type Visit } from './identity-browser.ts';

type Options = ReturnType<NonNullable<TestAppChanges['more']>>;

export interface BrowserFirm {
  readonly app: TestApp;
  readonly corp: BrowserProvider;
  readonly other: BrowserProvider;
  at(path: string): URL;
  post(browser: Browser, path: string, fields: Record<string, string>): Promise<Visit>;
  /** Signs in as `account` with `acr`, and resolves to the page after that. */
  signIn(account?: string, acr?: string, browser?: Browser): Promise<{ browser: Browser; home: Visit }>;
  /** Leaves for the provider, and stops on the way back. */
  leave(browser: Browser, path?: string): Promise<URL>;
  /** Another process of the same installation, at a port of its own. */
  replica(): Promise<{ readonly url: string; close(): Promise<void> }>;
  close(): Promise<void>;
}

interface FirmOptions {
  readonly change?: (services: Services) => Services;
  readonly scheme?: TestAppChanges['scheme'];
  /** Whether `other` says in its answers who it is (RFC 9207). */
  readonly otherNamesItself?: boolean;
}

export async function openBrowserFirm(options: FirmOptions = {}): Promise<BrowserFirm> {
  const [corp, other] = await Promise.all([BrowserProvider.start('corp'), BrowserProvider.start('other')]);
  const profiles = [corp.profile(), other.profile()];
  let given: Options = {};
  const app = await openTestApp(options.change, {
    ...(options.scheme && { scheme: options.scheme }),
    profiles,
    more: (url, store) => {
      const { database, log: audit } = store;
      given = {
        signIn: createSignIn({
          profiles,
          clientOf: () => ({ clientId: CLIENT }),
          redirectUri: `${url}/callback`,
          postLogoutRedirectUri: `${url}/signed-out`,
          now: Date.now,
        }),
        signInChoices: [
          { name: 'corp', title: 'Corp' },
          { name: 'other', title: 'Other' },
        ],
        logoutTokens: createLogoutTokens({ profiles, clientIdOf: () => CLIENT, now: Date.now }),
        sessionEnding: sessionEnding({ database, audit, tenants: new TenantIds(database, 'audit') }),
        sessionStore: new PostgresSessionStore(database),
        limits: undefined,
      };
      return given;
    },
  });
  corp.serve(app.url);
  other.serve(app.url, { namesItself: options.otherNamesItself ?? true });
  for (const name of ['user:corp|anna', 'user:corp|tom', 'user:corp|zoe', 'user:other|anna']) {
    const body = { principal: name, display_name: name };
    const answer = await app.ask('root', 'POST', '/v1/principals', body);
    if (answer.status >= 300) throw new Error(answer.text);
  }
  const at = (path: string) => new URL(path, app.url);
  return {
    app,
    corp,
    other,
    at,
    post: (browser, path, fields) =>
      browser.visit(at(path), { method: 'POST', body: new URLSearchParams(fields) }),
    signIn: async (account = 'anna', acr = 'pwd', browser = new Browser()) => {
      Object.assign(corp, { account, acr });
      return { browser, home: await browser.visit(at('/signin/corp')) };
    },
    leave: async (browser, path = '/signin/corp') =>
      (await browser.visit(at(path), { stopAt: `${app.url}/callback` })).url,
    replica: () => openReplica(app, given),
    close: async () => {
      await app.close();
      await Promise.all([corp.close(), other.close()]);
    },
  };
}

async function openReplica(app: TestApp, given: Options) {
  const replica = createApp(app.services, { ...app.options, ...given });
  const server = await listen(replica, { host: '127.0.0.1', port: 0 });
  return {
    url: `http://127.0.0.1:${server.port}`,
    close: async () => {
      await replica.close();
      await server.close();
    },
  };
}

export const csrfOf = (page: Visit) => /name="csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? '';
