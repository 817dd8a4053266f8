/** What each contestant is asked and answers, beside Bulkhead itself. */

export interface BaselineRequest {
  readonly query: string;
  readonly caller: string;
  readonly limit: number;
}

export interface BaselineAnswer {
  readonly passages: readonly {
    readonly document_id: string;
    readonly text: string;
    readonly score: number;
  }[];
}

export interface Baseline {
  answer(request: BaselineRequest): Promise<BaselineAnswer>;
}

export interface QueryEmbedder {
  embedQuery(text: string): Promise<Float32Array>;
}
