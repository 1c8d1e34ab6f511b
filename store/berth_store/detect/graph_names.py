"""What exporters call the inputs and outputs of graphs for texts, whatever the format."""

TOKENS_NAME = "input_ids"
TEXT_VECTOR_NAMES = ("sentence_embedding", "sentence_embeddings", "text_embedding")
TOKEN_VECTOR_NAMES = ("token_embeddings", "last_hidden_state", "hidden_states")
LOGIT_NAMES = ("logits", "output_logits")
