/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import type { LabelView } from '../retrieve/present.ts';
import { renderPage, type SignedInAs } from './layout.tsx';
import { LabelBadge } from './passage-card.tsx';

interface WhyPage {
  readonly signedIn: SignedInAs;
  readonly document: string;
  readonly decision: 'allow' | 'deny' | 'stepUp';
  readonly label: LabelView | null;
  readonly steps: readonly string[];
  readonly levels: readonly string[];
}

const HEADINGS = {
  allow: 'Why you can see this',
  deny: 'Why you cannot see this',
  stepUp: 'A stronger sign-in is needed for this',
} as const;

export function whyPage({ signedIn, document, decision, label, steps, levels }: WhyPage): string {
  return renderPage({
    title: HEADINGS[decision],
    signedIn,
    children: (
      <section class="why-page">
        <h1>{HEADINGS[decision]}</h1>
        <p class="subject">
          Document <code>{document}</code>
          {label !== null && <LabelBadge label={label} levels={levels} />}
        </p>
        <ol class="steps">
          {steps.map((step) => (
            <li>{step}</li>
          ))}
        </ol>
        <p class="note">
          These are your own entries and clearances, as they are now. <a href="/">Ask something else</a>
        </p>
      </section>
    ),
  });
}
