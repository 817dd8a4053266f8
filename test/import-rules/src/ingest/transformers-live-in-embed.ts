import '@xenova/transformers';
