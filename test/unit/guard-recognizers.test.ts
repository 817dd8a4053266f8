import { describe, expect, it } from 'vitest';
import { ENTITY_KINDS, type EntityKind } from '../../src/guard/entities.ts';
import { findEntities } from '../../src/guard/find-entities.ts';

/** The findings that no other finding covers. */
function found(text: string, kind: EntityKind): string[] {
  const all = findEntities(text, new Set([kind]));
  const outermost = all.filter(
    (one) => !all.some((other) => other !== one && other.start <= one.start && other.end >= one.end),
  );
  return outermost.map(({ start, end }) => text.slice(start, end));
}

/** Published test numbers of the card schemes. */
const CARDS = [
  '4111 1111 1111 1111',
  '4012-8888-8888-1881',
  '4222222222222',
  '5555 5555 5555 4444',
  '2223 0031 2200 3222',
  '3782 822463 10005',
  '371449635398431',
  '3056 930902 5904',
  '38520000023237',
  '6011 1111 1111 1117',
  '3530 1113 3330 0000',
  '6200 0000 0000 0005',
  '4111.1111.1111.1111',
];

describe('the card recognizer', () => {
  it.each(CARDS)('finds %s', (card) => {
    expect(found(`Paid with ${card} on Monday.`, 'card')).toEqual([card]);
  });

  it('finds a card whose digits are spaced one by one', () => {
    expect(found('4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1', 'card')).toHaveLength(1);
  });

  it('finds a card followed by its expiry date and security code', () => {
    expect(found('4111 1111 1111 1111 12/27 123', 'card')).toContain('4111 1111 1111 1111');
  });

  it('finds a card glued to letters and one wrapped onto a second line', () => {
    expect(found('card4111111111111111x', 'card')).toEqual(['4111111111111111']);
    expect(found('4111 1111\n1111 1111', 'card')).toEqual(['4111 1111\n1111 1111']);
  });

  it.each([
    '4111 1111 1111 1112',
    '1234 5678 9012 3452',
    'order 1763715600000',
    'weights 0.4000000000000002',
    '192.168.100.200',
    'ages 45 52 37 41 60 33 28 44 29 51 38 47',
    'quantities 4120, 3310, 2985, 1175',
  ])('leaves %s alone', (text) => {
    expect(found(text, 'card')).toEqual([]);
  });
});

describe('the IBAN recognizer', () => {
  it.each([
    'DE89 3704 0044 0532 0130 00',
    'DE89370400440532013000',
    'GB29 NWBK 6016 1331 9268 19',
    'gb29nwbk60161331926819',
    'FR14 2004 1010 0505 0001 3M02 606',
    'PT50 0002 0123 1234 5678 9015 4',
    'NO93 8601 1117 947',
    'DE89-3704-0044-0532-0130-00',
  ])('finds %s', (iban) => {
    expect(found(`Account ${iban}, please.`, 'iban')).toEqual([iban]);
  });

  it('finds one glued to the word before it', () => {
    expect(found('IBANDE89370400440532013000', 'iban')).toEqual(['DE89370400440532013000']);
  });

  it.each(['DE88 3704 0044 0532 0130 00', 'XX89 3704 0044 0532 0130 00', 'DE89 3704', 'part SN10 of AB12'])(
    'leaves %s alone',
    (text) => {
      expect(found(text, 'iban')).toEqual([]);
    },
  );
});

describe('the social security number recognizer', () => {
  it.each(['536-22-8145', '536 22 8145', '536.22.8145'])('finds %s', (ssn) => {
    expect(found(`Number ${ssn}.`, 'us-ssn')).toEqual([ssn]);
  });

  it('finds nine plain digits only near their name', () => {
    expect(found('SSN: 536228145', 'us-ssn')).toEqual(['536228145']);
    expect(found('Social Security number 536228145', 'us-ssn')).toEqual(['536228145']);
    expect(found('order 536228145', 'us-ssn')).toEqual([]);
  });

  it.each(['000-22-8145', '666-22-8145', '901-22-8145', '536-00-8145', '536-22-0000', '2026-11-2101'])(
    'leaves %s alone',
    (text) => {
      expect(found(text, 'us-ssn')).toEqual([]);
    },
  );
});

describe('the e-mail recognizer', () => {
  it.each([
    'anna.keller@meridian.example',
    'a@b.co',
    "o'neil+tag@mail.meridian.example",
    'jörg.müller@büro.example',
    '用户@例子.公司',
    '"Anna Keller"@meridian.example',
    'anna%40meridian.example',
    'anna&#64;meridian.example',
    'x@xn--bcher-kva.xn--p1ai',
  ])('finds %s', (address) => {
    expect(found(`Write to <${address}>, please.`, 'email')).toEqual([address]);
  });

  it('leaves the full stop and the brackets of the sentence', () => {
    expect(found('(to anna@meridian.example.) Then', 'email')).toEqual(['anna@meridian.example']);
  });

  it.each(['@anna', 'anna@', 'meet @ noon.', 'root@localhost', 'a@1.2', 'v1@2.0.1'])(
    'leaves %s alone',
    (text) => {
      expect(found(text, 'email')).toEqual([]);
    },
  );
});

describe('the phone recognizer', () => {
  it.each([
    '+49 40 66969 100',
    '+49 (0)40 66969-100',
    '+1 902 555 0123',
    '+1-902-555-0123',
    '+1 (902) 555-0123',
    '0049 40 66969 100',
    '+44 20 7946 0958',
    '+33 1 42 68 53 00',
    '(902) 555-0123',
    '902-555-0123',
    '902.555.0123',
    '(040) 66969 100',
    '040/66969-100',
  ])('finds %s', (number) => {
    expect(found(`Reach us: ${number}, weekdays.`, 'phone')).toEqual([number]);
  });

  it('finds a national number that a word announces', () => {
    expect(found('Tel. 040 66969 100', 'phone')).toEqual(['040 66969 100']);
    expect(found('Phone: 902 555 0123', 'phone')).toEqual(['902 555 0123']);
  });

  it.each([
    '2026-11-21',
    '21.11.2026 09:00',
    '2026-11-21T09:00:00+01:00',
    'ORD-1041-2026-000123',
    'order 4500012345',
    'invoice ORD-902-555-0123',
    '192.168.100.200',
    '10.20.30.40:8080',
    'EUR 1,250,000.00',
    '61.400.000 EUR',
    'a rise of +12 500 000 EUR',
    'UTC+02:00',
    'call 20261041 lines',
    'serial 040 66969 100',
    'DE89 3704 0044 0532 0130 00',
  ])('leaves %s alone', (text) => {
    expect(found(text, 'phone')).toEqual([]);
  });
});

describe('the API key recognizer', () => {
  it.each([
    'AKIAIOSFODNN7EXAMPLE',
    'ASIAIOSFODNN7EXAMPLE',
    `ghp_${'aB3d'.repeat(9)}`,
    `github_pat_${'aB3d_'.repeat(9)}`,
    `xoxb-${'1234567890-'.repeat(2)}abcdef`,
    `AIza${'aB3d_'.repeat(7)}`,
    `sk_live_${'aB3d'.repeat(6)}`,
    `sk_test_${'aB3d'.repeat(6)}`,
    'sk-test-9fKw27LmQx81ZbTr',
    `sk-proj-${'aB3d'.repeat(10)}`,
    `sk-ant-api03-${'aB3d'.repeat(10)}`,
    `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${'aB3d'.repeat(10)}`,
  ])('finds %s', (key) => {
    expect(found(`Use \`${key}\` here.`, 'api-key')).toEqual([key]);
  });

  it('finds a private key from its first line to its last, and one that was cut off', () => {
    const body = `${'MIIEvQIBADANBgkqhkiG9w0B\n'.repeat(4)}`;
    const key = `-----BEGIN RSA PRIVATE KEY-----\n${body}-----END RSA PRIVATE KEY-----`;
    expect(found(`before\n${key}\nafter`, 'api-key')).toEqual([key]);
    const cut = `-----BEGIN PRIVATE KEY-----\n${body}`;
    expect(found(cut, 'api-key')).toEqual([cut]);
  });

  it.each([
    'api_key = "%"',
    "apiKey: '%'",
    'API-KEY=%',
    '"client_secret": "%"',
    'password := %',
    'token => `%`',
  ])('finds the random value of %s', (assignment) => {
    const value = 'q8Zr2LmX0vTbN4kYw7';
    expect(found(assignment.replace('%', value), 'api-key')).toEqual([value]);
  });

  it.each([
    'api_key = "your-key-goes-here"',
    'password: aaaaaaaaaaaaaaaaaaaa1',
    'the risk-assessment-of-2026-and-2027 paper',
    'sk-learn-pipelines-and-models',
    'token: see the handbook',
  ])('leaves %s alone', (text) => {
    expect(found(text, 'api-key')).toEqual([]);
  });
});

describe('look-alike and invisible characters', () => {
  const disguises: Readonly<Record<string, (text: string) => string>> = {
    'full-width forms': (text) =>
      text.replace(/[0-9A-Za-z@.+-]/g, (c) => String.fromCodePoint((c.codePointAt(0) ?? 0) + 0xfee0)),
    'zero-width spaces': (text) => [...text].join('\u200B'),
    'soft hyphens and joiners': (text) => [...text].join('\u00AD\u200D'),
    'variation selectors': (text) => [...text].join('\uFE0F'),
    'bidirectional controls': (text) => `\u202E${[...text].join('\u2066')}\u202C`,
    'control characters': (text) => [...text].join('\u0001'),
    'mathematical bold digits': (text) =>
      text.replace(/[0-9]/g, (c) => String.fromCodePoint(0x1d7ce + Number(c))),
    'Arabic-Indic digits': (text) => text.replace(/[0-9]/g, (c) => String.fromCodePoint(0x660 + Number(c))),
    'keycap digits': (text) => text.replace(/[0-9]/g, (c) => `${c}\uFE0F\u20E3`),
  };
  const samples: readonly (readonly [EntityKind, string])[] = [
    ['card', '4111 1111 1111 1111'],
    ['card', '4111-1111-1111-1111'],
    ['iban', 'DE89 3704 0044 0532 0130 00'],
    ['us-ssn', '536-22-8145'],
    ['phone', '+49 40 66969 100'],
    ['email', 'anna9@meridian.example'],
    ['api-key', 'AKIAIOSFODNN7EXAMPLE'],
  ];
  const cases = Object.keys(disguises).flatMap((name) =>
    samples.map(([kind, sample]) => ({ name, kind, sample })),
  );

  it.each(cases)('$name do not hide $sample', ({ name, kind, sample }) => {
    const disguised = disguises[name]?.(sample) ?? '';
    const [finding] = findEntities(`see ${disguised} there`, new Set([kind]));
    expect(finding?.start).toBeLessThanOrEqual(5);
    expect(finding?.end).toBeGreaterThanOrEqual('see '.length + disguised.trimEnd().length - 2);
  });

  it.each(['\u00A0', '\u202F', '\u2007'])(
    'a no-break space (%j) inside a number or an address does not hide it',
    (space) => {
      const card = ['4111', '1111', '1111', '1111'].join(space);
      expect(found(`card ${card}.`, 'card')).toEqual([card]);
      for (const address of ['anna', '@', 'meri', 'dian', '.', 'example'].map((_, i, parts) =>
        parts.map((part, j) => (i === j && j > 0 ? space + part : part)).join(''),
      ))
        expect(found(`to ${address} now`, 'email')).toEqual([address]);
    },
  );

  it('a footnote sign after a card does not hide it', () => {
    expect(found('4111 1111 1111 1111² on file', 'card')).toEqual(['4111 1111 1111 1111']);
  });
});

describe('hostile text', () => {
  const seeds: Readonly<Record<EntityKind, readonly string[]>> = {
    email: ['@', 'a@', 'a.@a.', `${'a'.repeat(128)}@`, 'a@a\u00A0', '"@', '%40a', '&#', 'a@b.co\u200B '],
    phone: [
      '+',
      '+1',
      '+4940 ',
      '(0',
      '902-',
      '+49 40 66969 100 ',
      'tel ',
      '0049 4',
      '1   ',
      '\u{1D7CF}',
      '1\u20E3',
    ],
    card: ['4', '4 ', '41111111 ', '4-1-', '4111 ', '4\n', '1.', '4     ', '4\u200B'],
    iban: ['D', 'DE89', 'DE89 ', 'DE893704', 'A1 '],
    'us-ssn': ['1', '123-', '123-45-', '123 45 ', 'ssn '],
    'api-key': [
      'eyJ',
      'eyJa.',
      'eyJaaaaaaaaaa.aaaa.',
      'sk-',
      'sk-a',
      'ghp_',
      'xoxb-',
      'github_pat_',
      'AIza',
      'AKIA',
      'token=',
      'token:',
      'api_key="',
      '-----BEGIN ',
      '-----BEGIN PRIVATE KEY-----',
      '-----END A-----',
      '-',
      '=',
      ': ',
      `:${'a'.repeat(15)} `,
      'sk_live_',
    ],
  };
  const cases = ENTITY_KINDS.flatMap((kind) =>
    seeds[kind].map((seed) => ({ kind, seed: seed.slice(0, 30), full: seed })),
  );

  /** Processor time in milliseconds, so that a busy machine counts less. */
  function shortestTime(text: string, kind: EntityKind): number {
    const times = [0, 1, 2].map(() => {
      const before = process.cpuUsage();
      findEntities(text, new Set([kind]));
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    });
    return Math.min(...times);
  }

  // Sixteen times the text: about 16 times the work when linear, 256 times when quadratic. Other processes
  // can spoil one measurement of linear work; they cannot make quadratic work pass.
  it.each(cases)(
    'work of $kind grows linearly on repeated $seed',
    { timeout: 60_000, retry: 3 },
    ({ kind, full }) => {
      const small = full.repeat(Math.ceil(6_400 / full.length));
      const large = full.repeat(Math.ceil(102_400 / full.length));
      const base = Math.max(shortestTime(small, kind), 1);
      expect(shortestTime(large, kind)).toBeLessThan(base * 64);
    },
  );
});
