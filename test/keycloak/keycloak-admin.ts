/** What a person with Keycloak's administration console would click, and what its clients ask its token endpoint. */
import { ADMINISTRATOR } from './keycloak.ts';
import { PASSWORD, PEOPLE, type Person, REALM, SECRETS } from './realm.ts';

interface TokenAnswer {
  readonly status: number;
  readonly access_token: string;
  readonly error?: string;
  readonly error_description?: string;
}

export class KeycloakAdmin {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get issuer(): string {
    return `${this.#url}/realms/${REALM}`;
  }

  async createRealm(representation: object): Promise<void> {
    await this.#ask('POST', '', representation);
  }

  /** Ends every session of the person: Keycloak then tells its clients by back-channel logout. */
  async logOut(person: Person): Promise<void> {
    await this.#ask('POST', `/${REALM}/users/${PEOPLE[person].id}/logout`);
  }

  async setEnabled(person: Person, enabled: boolean): Promise<void> {
    await this.#ask('PUT', `/${REALM}/users/${PEOPLE[person].id}`, { enabled });
  }

  /**
   * Two levels of authentication, each by the password, which is asked for again: a second factor would need a device.
   * The realm's `acr.loa.map` says what tokens call them.
   */
  async requireLevels(): Promise<void> {
    const flows = `/${REALM}/authentication/flows`;
    const top = { alias: 'levels', providerId: 'basic-flow', topLevel: true, builtIn: false };
    await this.#ask('POST', flows, top);
    await this.#addExecution('levels', 'execution', { provider: 'auth-cookie' }, 'ALTERNATIVE');
    await this.#addExecution('levels', 'flow', { alias: 'levels forms', type: 'basic-flow' }, 'ALTERNATIVE');
    for (const [level, form] of [
      ['1', 'auth-username-password-form'],
      ['2', 'auth-password-form'],
    ] as const) {
      const alias = `levels ${level}`;
      await this.#addExecution('levels forms', 'flow', { alias, type: 'basic-flow' }, 'CONDITIONAL');
      const condition = { provider: 'conditional-level-of-authentication' };
      const id = await this.#addExecution(alias, 'execution', condition, 'REQUIRED');
      const config = { 'loa-condition-level': level, 'loa-max-age': '3600' };
      await this.#ask('POST', `/${REALM}/authentication/executions/${id}/config`, { alias, config });
      await this.#addExecution(alias, 'execution', { provider: form }, 'REQUIRED');
    }
    await this.#ask('PUT', `/${REALM}`, { browserFlow: 'levels' });
  }

  async #addExecution(
    flow: string,
    kind: 'flow' | 'execution',
    added: object,
    requirement: string,
  ): Promise<string> {
    const executions = `/${REALM}/authentication/flows/${encodeURIComponent(flow)}/executions`;
    await this.#ask('POST', `${executions}/${kind}`, added);
    const all = (await this.#ask('GET', executions)) as { id: string; level: number }[];
    const last = all.filter(({ level }) => level === 0).at(-1);
    await this.#ask('PUT', executions, { ...last, requirement });
    return last?.id ?? '';
  }

  /** A new signing key before all others; the old ones stay published. */
  async addSigningKey(): Promise<void> {
    const { id } = (await this.#ask('GET', `/${REALM}`)) as { id: string };
    await this.#ask('POST', `/${REALM}/components`, {
      name: `ecdsa-${Date.now()}`,
      parentId: id,
      providerId: 'ecdsa-generated',
      providerType: 'org.keycloak.keys.KeyProvider',
      config: { priority: ['200'], ecdsaEllipticCurveKey: ['P-256'], active: ['true'], enabled: ['true'] },
    });
  }

  /** Withdraws every signing key that was there before the newest one. */
  async withdrawOldKeys(): Promise<void> {
    const query = '?type=org.keycloak.keys.KeyProvider';
    const components = (await this.#ask('GET', `/${REALM}/components${query}`)) as {
      id: string;
      providerId: string;
      config: { priority?: string[] };
    }[];
    for (const component of components)
      if (component.providerId === 'ecdsa-generated' && component.config.priority?.[0] !== '200')
        await this.#ask('DELETE', `/${REALM}/components/${component.id}`);
  }

  /** Who the token endpoint gives a token to; `undefined` client authentication is in the form itself. */
  async token(form: Readonly<Record<string, string>>, basic?: { id: string; secret: string }) {
    const response = await fetch(`${this.issuer}/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: basic === undefined ? {} : { authorization: basicAuthorization(basic) },
    });
    return { status: response.status, ...((await response.json()) as object) } as TokenAnswer;
  }

  /** A person's token for their own scripts. */
  async tokenOf(person: Person, client: keyof typeof SECRETS = 'cli'): Promise<string> {
    const secret = SECRETS[client];
    const form = { grant_type: 'password', scope: 'openid', username: person, password: PASSWORD };
    return granted(await this.token(form, { id: client, secret }));
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const form = { grant_type: 'password', client_id: 'admin-cli', ...ADMINISTRATOR };
    const login = await fetch(`${this.#url}/realms/master/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
    });
    const { access_token: token } = (await login.json()) as { access_token: string };
    const response = await fetch(`${this.#url}/admin/realms${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Keycloak answered ${method} ${path} with ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

export function granted(answer: TokenAnswer): string {
  if (answer.status === 200) return answer.access_token;
  throw new Error(`Keycloak gave no token: ${answer.status} ${answer.error} ${answer.error_description}`);
}

function basicAuthorization({ id, secret }: { id: string; secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}
