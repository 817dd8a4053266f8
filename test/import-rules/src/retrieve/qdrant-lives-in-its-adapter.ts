import '@qdrant/js-client-rest';
