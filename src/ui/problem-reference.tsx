/** @jsxRuntime automatic @jsxImportSource hono/jsx */

/** What to quote when asking for help: the log has the request under the same id. */
export function problemReference(code: string, requestId: string) {
  return (
    <dl class="receipt">
      <div>
        <dt>Code</dt>
        <dd>
          <code>{code}</code>
        </dd>
      </div>
      <div>
        <dt>Request</dt>
        <dd>
          <code>{requestId}</code>
        </dd>
      </div>
    </dl>
  );
}
