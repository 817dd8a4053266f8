/** @jsxRuntime automatic @jsxImportSource hono/jsx */
import type { Answer } from '../retrieve/answer.ts';
import type { LabelView } from '../retrieve/present.ts';
import { date, removedFrom } from './words.ts';

type Passage = Answer['passages'][number];

export function PassageCard({
  passage,
  levels,
  explains,
}: {
  readonly passage: Passage;
  readonly levels: readonly string[];
  readonly explains: boolean;
}) {
  const removed = removedFrom(passage);
  const [first, ...below] = passage.heading_path;
  const path = first === passage.title ? below : passage.heading_path;
  return (
    <li class="passage">
      <article>
        <header>
          <span class="rank">
            <span class="visually-hidden">Rank </span>
            {passage.rank}
          </span>
          <div class="headings">
            <h2>{passage.title}</h2>
            {path.length > 0 && (
              <p class="path">
                {path.map((heading, i) => (
                  <>
                    {i > 0 && (
                      <span class="sep" aria-hidden="true">
                        {' › '}
                      </span>
                    )}
                    {heading}
                  </>
                ))}
              </p>
            )}
          </div>
          <LabelBadge label={passage.label} levels={levels} />
        </header>
        <p class="text">
          <RedactedText passage={passage} />
        </p>
        <footer>
          <span class="where">{passage.container}</span>
          <span>{passage.external_id}</span>
          <span>{passage.source}</span>
          <span>{date(passage.content_date ?? passage.updated_at)}</span>
          {removed !== undefined && <span class="removed">{removed}</span>}
          {explains && (
            <a class="why" href={`/why/${passage.document_id}`}>
              Why can I see this?
            </a>
          )}
        </footer>
      </article>
    </li>
  );
}

/** The label in words, with a colour that only repeats them. */
export function LabelBadge({
  label,
  levels,
}: {
  readonly label: LabelView;
  readonly levels: readonly string[];
}) {
  return (
    <span class={`label tone-${toneOf(label.level, levels)}`}>
      <span class="visually-hidden">Label: </span>
      {[label.level, ...label.compartments].join(' · ')}
    </span>
  );
}

const TONES = 4;

/** From 0, the lowest level, to 3, the highest and any unknown one. */
function toneOf(level: string, levels: readonly string[]): number {
  const rank = levels.indexOf(level);
  if (rank === -1 || levels.length < 2) return TONES - 1;
  return Math.round((rank / (levels.length - 1)) * (TONES - 1));
}

function RedactedText({ passage }: { readonly passage: Passage }) {
  const { text, redactions } = passage;
  const pieces = [];
  let end = endOfHeadings(passage);
  for (const span of redactions.filter(({ start }) => start >= end)) {
    pieces.push(text.slice(end, span.start), <mark>{text.slice(span.start, span.end)}</mark>);
    end = span.end;
  }
  return (
    <>
      {pieces}
      {text.slice(end)}
    </>
  );
}

/** Where the text goes on after the headings that the card shows already. */
function endOfHeadings({ text, title, heading_path }: Passage): number {
  const shown = new Set([title, ...heading_path, '']);
  let end = 0;
  for (const line of text.split('\n')) {
    if (!shown.has(line.trim()) || end + line.length >= text.length) return end;
    end += line.length + 1;
  }
  return 0;
}
